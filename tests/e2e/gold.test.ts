import { cpSync } from 'node:fs'
import { join } from 'node:path'
import type { JobsResponse, Run, RunsResponse } from '@mesh/shared/core/runs'
import { queryWithGold } from '@mesh/shared/warehouse/duckdb-reader'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { postEvents } from '../../packages/cli/src/gateway-client.ts'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { type MeshUnderTest, startMesh } from './mesh-under-test.ts'

/** Real Kafka, real services, real dbt: nobody touches anything between the POST and the changed row. */
describe('from a POST to a changed row of gold', () => {
  let mesh: MeshUnderTest
  let number = 0

  beforeAll(async () => {
    mesh = await startMesh(inject('stackCache'), {
      services: ['replayer', 'ingest-gateway', 'enricher', 'warehouse-sink', 'job-trigger'],
      prepare(projectDir) {
        for (const folder of ['jobs', join('transforms', 'dbt')]) {
          cpSync(join(import.meta.dirname, '..', '..', folder), join(projectDir, folder), { recursive: true })
        }
      },
    })
    await mesh.apply()
  })
  afterAll(() => mesh?.stop())

  const url = (): string => mesh.stack.addresses.services['job-trigger']!
  const runs = async (): Promise<readonly Run[]> => (await callJson<RunsResponse>(`${url()}/v1/runs?job=gold`)).runs

  /** Posts flights of one airport and day; returns the time at which they were accepted. */
  async function post(origin: string, day: string, delays: readonly number[]): Promise<void> {
    const lines = delays.map((delay) =>
      JSON.stringify({
        id: `gold-${++number}`,
        date: `${day} 06:55`,
        delay,
        distance: 337,
        origin,
        destination: 'SFO',
      }),
    )
    const { receipts } = await postEvents(mesh.gateway, 'flights', `${lines.join('\n')}\n`, {
      contentType: 'application/x-ndjson',
      idempotencyKey: `gold-${number}`,
    })
    expect(receipts.map(({ status }) => status)).toEqual(delays.map(() => 'accepted'))
  }

  async function goldRow(origin: string, day: string): Promise<Record<string, unknown> | undefined> {
    const sql = `select flights, delayed, avg_delay, _run_id from gold.daily_airport_delays where origin = '${origin}' and flight_date = '${day}'`
    const files = { landing: mesh.warehouseFile, gold: join(mesh.warehouseFile, '..', 'gold.duckdb') }
    // Before the first run there is no such table.
    const found = await queryWithGold(files, sql).catch(() => null)
    return found?.rows[0]
  }

  const untilGold = (origin: string, day: string, flights: number): Promise<Record<string, unknown>> =>
    waitFor(
      async () => {
        const row = await goldRow(origin, day)
        return Number(row?.['flights']) === flights ? row! : null
      },
      {
        what: `${flights} flights of ${origin} on ${day} in gold`,
        timeoutMs: 300_000,
        progress: () => JSON.stringify(lastRuns),
      },
    )
  let lastRuns: unknown = null

  it('the row is there, says which run wrote it, and that run knows the offsets it was given', async () => {
    await post('LAX', '2001/01/01', [20, 10])
    const row = await untilGold('LAX', '2001-01-01', 2)
    expect(row).toMatchObject({ delayed: '1', avg_delay: 15 })
    // The row is visible before its run is written down as ended.
    const run = await waitFor(
      async () => (await runs()).find(({ id, state }) => id === row['_run_id'] && state !== 'running') ?? null,
      { what: `the run ${String(row['_run_id'])} to end`, timeoutMs: 180_000 },
    )
    expect(run).toMatchObject({ state: 'succeeded', trigger: 'commit' })
    // One run had both flights, unless they landed so far apart that each had its own.
    const given = ({ vector }: Run): number => vector.reduce((sum, { from, to }) => sum + to - from, 0)
    expect(given(run)).toBeGreaterThan(0)
    const ended = (await runs()).filter(({ state }) => state === 'succeeded')
    expect(ended.reduce((sum, each) => sum + given(each), 0)).toBe(2)
    expect(run.result!.outputs.map(({ name }) => name)).toContain('gold.main.daily_airport_delays')
    expect(Object.keys(run.result!.artefacts)).toContain('run_results.json')
  })

  it('a late flight recounts its own day and leaves other rows as they were', async () => {
    await post('SFO', '2001/01/02', [5])
    const other = await untilGold('SFO', '2001-01-02', 1)
    await post('LAX', '2001/01/01', [60])
    expect(await untilGold('LAX', '2001-01-01', 3)).toMatchObject({ delayed: '2', avg_delay: 30 })
    // dbt may hold the file still: then there is no row to be read.
    const still = await waitFor(async () => (await goldRow('SFO', '2001-01-02')) ?? null, {
      what: 'the row of SFO to be readable',
      timeoutMs: 120_000,
    })
    expect(still).toEqual(other)
  })

  it('job-trigger killed while dbt runs: nothing is missed, nothing is counted twice', async () => {
    await post('DFW', '2001/01/03', [1, 2, 3])
    await waitFor(async () => ((await runs()).some(({ state }) => state === 'running') ? true : null), {
      what: 'a run to be under way',
      timeoutMs: 60_000,
      everyMs: 20,
    }).catch(() => null)
    mesh.stack.kill('job-trigger', 'SIGKILL')
    await post('DFW', '2001/01/03', [4])
    expect(await untilGold('DFW', '2001-01-03', 4)).toMatchObject({ avg_delay: 2.5 })
    const all = await waitFor(
      async () => {
        const found = await runs().catch(() => [])
        return found.length > 0 && found.every(({ state }) => state === 'succeeded' || state === 'superseded')
          ? found
          : null
      },
      { what: 'every run to have ended well', timeoutMs: 180_000 },
    )
    // Per partition the ranges of the runs tile from 0: no offset in none, none in two.
    const ranges = new Map<string, { from: number; to: number }[]>()
    for (const run of all.filter(({ state, full }) => state === 'succeeded' && !full)) {
      for (const range of run.vector) {
        const key = `${range.stream}/${range.partition}`
        ranges.set(key, [...(ranges.get(key) ?? []), range])
      }
    }
    for (const [key, list] of ranges) {
      let stands = 0
      for (const { from, to } of list.toSorted((a, b) => a.from - b.from)) {
        expect(from, key).toBe(stands)
        stands = to
      }
    }
    const gold = async () => (await callJson<JobsResponse>(`${url()}/v1/jobs`)).jobs[0]
    await expect.poll(gold).toMatchObject({ name: 'gold', dead: [], pendingOffsets: 0 })
  })
})
