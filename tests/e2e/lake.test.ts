import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { parseChainKey } from '@mesh/shared/lake/chain-names'
import { queryFiles } from '@mesh/shared/warehouse/duckdb-reader'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { readAirports, readFlights } from '../../packages/cli/src/demo/real-data.ts'
import { sendAirports, sendFlights } from '../../packages/cli/src/demo/senders.ts'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { infrastructureEnvironment } from '../../packages/cli/src/stack/environment.ts'
import { overall } from '../../packages/cli/src/verify/verify.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { type MeshUnderTest, startMesh } from './mesh-under-test.ts'

const LAYERS = ['bronze', 'silver'] as const
const ROUNDS = 6

/** How far a command gets: to its end, or to a kill after its first merge, or at a moment in its middle. */
type Ending = 'end' | 'first-merge' | { readonly afterMs: number }

describe('the lake, compacted and cleaned while the sink goes on writing', () => {
  let mesh: MeshUnderTest
  let killed = 0
  let sent = 0
  const rowsBefore = new Map<string, string>()

  beforeAll(async () => {
    mesh = await startMesh(inject('stackCache'), {
      env: { MESH_LAKE_SINK_FLUSH_INTERVAL: '100ms' },
      services: ['replayer', 'ingest-gateway', 'enricher', 'lake-sink', 'warehouse-sink'],
    })
    await mesh.apply(mesh.projectDir, ['airports', 'flights'])
    await sendAirports(mesh.gateway, await readAirports(mesh.root), { runId: 'lake' })
  })
  afterAll(() => mesh?.stop())

  it('is killed again and again, and so is the sink: no row is lost, none is there twice, the books close', async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const ending = round % 2 ? { afterMs: 2_000 + 500 * round } : ('first-merge' as const)
      let over = false
      const compaction = run(['compact', '--older-than', '0s'], ending).finally(() => (over = true))
      do await sendAndAwaitObject()
      while (!over)
      await compaction
      if (round === 2) await mesh.stack.restart('lake-sink', 'SIGKILL')
    }
    expect(killed).toBeGreaterThan(1)
    expect(overall(await mesh.books())).toBe('closed')
    await run(['compact', '--older-than', '0s'], 'end')
    expect(overall(await mesh.books())).toBe('closed')
    for (const layer of LAYERS) {
      const written = await rowsOf(await urls(`${layer}/flights/`, (merged) => !merged))
      expect(await rowsOf(await counting(layer))).toBe(written)
      expect(await urls(`${layer}/flights/`, (merged) => merged)).not.toEqual([])
      expect(written.split(' ')[0]).toBe(String(sent))
      rowsBefore.set(layer, written)
    }
  }, 1_200_000)

  it('deletes what is merged only by force before its time; the sink finds its end and a glob is exact again', async () => {
    const early = await run(['retain', '--grace', '1d'], 'end')
    expect(early).toMatchObject({ code: 2, stderr: expect.stringContaining('--grace is shorter than 7d') })
    expect(JSON.parse((await run(['retain', '--json'], 'end')).stdout)).toMatchObject({ dryRun: false })
    const all = await Promise.all(LAYERS.map((layer) => urls(`${layer}/flights/`, () => true)))
    await run(['retain', '--grace', '0s', '--force'], 'end')
    for (const [i, layer] of LAYERS.entries()) {
      const left = await urls(`${layer}/flights/`, () => true)
      expect(left.length).toBeLessThan(all[i]!.length)
      expect(left.sort()).toEqual((await counting(layer)).sort())
      expect(await rowsOf(left)).toBe(rowsBefore.get(layer))
    }
    await mesh.stack.restart('lake-sink', 'SIGKILL')
    await sendAndAwaitObject()
    expect(overall(await mesh.books())).toBe('closed')
  }, 1_200_000)

  it('is history as before: a replay out of merged objects builds a version whose books close', async () => {
    const body = { stream: 'flights' }
    const { id } = await callJson<ReplayJob>(`${mesh.replayerUrl()}/v1/replays`, { method: 'POST', body })
    await waitFor(
      async () =>
        (await callJson<ReplayJob>(`${mesh.replayerUrl()}/v1/replays/${id}`)).state === 'READY' ? true : null,
      { what: 'the candidate to be ready', timeoutMs: 300_000, everyMs: 250 },
    )
    const books = await mesh.books()
    expect(overall(books)).toBe('closed')
    const [one, two] = books.filter(({ stream }) => stream === 'flights')
    expect(two!.counts).toMatchObject({ outputs: one!.counts.outputs })
  }, 1_200_000)

  /** A few flights more, of which the sink has then made an object. */
  async function sendAndAwaitObject(): Promise<void> {
    const written = async (): Promise<number> => (await urls('silver/flights/', (merged) => !merged)).length
    const before = await written()
    const flights = (await readFlights(mesh.root)).slice(sent, sent + 10)
    await sendFlights(mesh.gateway, flights, { runId: `lake-${sent}` })
    sent += flights.length
    await waitFor(async () => ((await written()) > before ? true : null), {
      what: 'the sink to write an object',
      timeoutMs: 120_000,
      everyMs: 50,
    })
  }

  /** `mesh lake …` as a process of its own. */
  function run(
    args: readonly string[],
    ending: Ending,
  ): Promise<{ code: number | null; stdout: string; stderr: string }> {
    const main = join(mesh.root, 'packages', 'cli', 'src', 'main.ts')
    const env = { ...process.env, ...infrastructureEnvironment(mesh.stack.addresses) }
    const child = spawn(process.execPath, [main, 'lake', ...args], { cwd: mesh.projectDir, env })
    let [stdout, stderr] = ['', '']
    let merges = 0
    const kill = (): void => void (child.kill('SIGKILL') && killed++)
    child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString()
      if (++merges === 1 && ending === 'first-merge') kill()
    })
    const timer = typeof ending === 'object' ? setTimeout(kill, ending.afterMs) : undefined
    return new Promise((resolve) => {
      child.on('close', (code) => {
        clearTimeout(timer)
        resolve({ code, stdout, stderr })
      })
    })
  }

  async function urls(prefix: string, wanted: (merged: boolean) => boolean): Promise<string[]> {
    const found: string[] = []
    for await (const key of mesh.store.list(prefix)) {
      if (wanted(parseChainKey(key)!.nextOffset !== null)) found.push(join(mesh.lakeDir, key))
    }
    return found
  }

  async function counting(layer: string): Promise<string[]> {
    const { stdout } = await run(['files', 'flights', '--layer', layer, '--json'], 'end')
    return (JSON.parse(stdout) as { url: string }[]).map(({ url }) => new URL(url).pathname)
  }

  /** Number and content of a bag of rows, as DuckDB reads them. */
  async function rowsOf(files: readonly string[]): Promise<string> {
    const list = files.map((file) => `'${file}'`).join(', ')
    const { rows } = await queryFiles(
      `select count(*)::varchar || ' ' || sum(hash(t)::hugeint)::varchar as rows from read_parquet([${list}], union_by_name = true) t`,
    )
    return String(rows[0]!['rows'])
  }
})
