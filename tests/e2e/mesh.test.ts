import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { cellText, queryFiles, queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { readAirports, readFlights, readGithubDeliveries } from '../../packages/cli/src/demo/real-data.ts'
import { sendAirports, sendFlights, sendGithub } from '../../packages/cli/src/demo/senders.ts'
import { waitForTable } from '../../packages/cli/src/demo/wait-for-table.ts'
import type { Receipt } from '../../packages/cli/src/gateway-client.ts'
import { callJson } from '../../packages/cli/src/http-json.ts'
import type { ProcessStatus } from '../../packages/cli/src/stack/supervisor.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { describeBadInput } from './bad-input.ts'
import { type MeshUnderTest, startMesh } from './mesh-under-test.ts'
import { describeNewStream } from './new-stream.ts'

const KILLED = ['ingest-gateway', 'enricher', 'lake-sink', 'warehouse-sink', 'replayer']
const FLIGHTS = 20_000
const REPEATED = 500

describe('the whole mesh', () => {
  let mesh: MeshUnderTest
  let flights: readonly Receipt[] = []
  let github: readonly Receipt[] = []

  beforeAll(async () => {
    mesh = await startMesh(inject('stackCache'))
    await mesh.apply()
  })
  afterAll(() => mesh?.stop())

  it('takes real events while every service is killed once in mid-flow', async () => {
    const run = 'e2e'
    const airports = await readAirports(mesh.root)
    const reference = await sendAirports(mesh.gateway, airports, { runId: run })
    expect(reference.rejected).toEqual([])
    expect(reference.receipts).toHaveLength(airports.length)
    await waitForTable({
      kafka: mesh.kafka,
      enricherUrl: mesh.stack.addresses.services['enricher']!,
      stream: 'airports',
      receipts: reference.receipts,
      timeoutMs: 180_000,
    })

    // Equal rows are different flights: some are posted a second time under new numbers.
    const rows = await readFlights(mesh.root)
    const all = [...rows, ...rows.slice(0, REPEATED)]
    expect(rows).toHaveLength(FLIGHTS)
    const due = [...KILLED]
    const [sentFlights, sentGithub] = await Promise.all([
      sendFlights(mesh.gateway, all, {
        runId: run,
        onProgress: (sent) => {
          if (due.length > 0 && sent >= (KILLED.length - due.length + 1) * 3000) {
            const name = due.shift()!
            expect(mesh.stack.kill(name, 'SIGKILL'), `kill ${name}`).toBe(true)
          }
        },
      }),
      sendGithub(mesh.gateway, readGithubDeliveries(mesh.root), { runId: run, secret: mesh.githubSecret }),
    ])
    expect(due).toEqual([])
    expect(sentFlights.rejected).toEqual([])
    expect(sentGithub.rejected).toEqual([])
    flights = sentFlights.receipts
    github = sentGithub.receipts
    expect(new Set(flights.map((receipt) => receipt.eventId)).size).toBe(FLIGHTS + REPEATED)
    expect(new Set(github.map((receipt) => receipt.eventId)).size).toBe(329)
    const killed = (): ProcessStatus[] => mesh.stack.processes().filter((process) => KILLED.includes(process.name))
    // One that has just been killed may not have been missed yet.
    const again = (): boolean => killed().every(({ state, restarts }) => state === 'running' && restarts >= 1)
    await waitFor(async () => (again() ? true : null), {
      what: 'every killed service to run again',
      timeoutMs: 240_000,
      progress: () => JSON.stringify(killed()),
    })
  })

  it('closes the books of every stream', async () => {
    const summaries = await mesh.books()
    expect(summaries.flatMap((summary) => summary.verdicts.flatMap((verdict) => verdict.findings))).toEqual([])
    const found = Object.fromEntries(summaries.map((summary) => [summary.stream, summary]))
    expect(found['flights']!.counts).toMatchObject({
      ok: FLIGHTS + REPEATED,
      outputs: FLIGHTS + REPEATED,
      drop: 0,
      deadLetter: 0,
    })
    expect(found['github']!.counts).toMatchObject({ ok: 329, deadLetter: 0 })
  })

  it('has every event exactly once by an independent recount of files and table', async () => {
    for (const [stream, receipts] of [
      ['flights', flights],
      ['github', github],
    ] as const) {
      const state = await mesh.versions(stream)
      const bronze = await queryFiles(
        `select partition, "offset" from read_parquet('${mesh.lakeDir}/bronze/${stream}/${state.rawTopicId}/*/*.parquet')`,
      )
      const coordinates = bronze.rows.map((row) => `${cellText(row['partition'])}/${cellText(row['offset'])}`)
      const inBronze = new Set(coordinates)
      expect(inBronze.size).toBe(coordinates.length)
      const missing = receipts.filter((receipt) => !inBronze.has(`${receipt.partition}/${receipt.offset}`)).length
      expect(missing).toBe(0)
      const expected = receipts.map((receipt) => receipt.eventId).sort()
      const silver = await queryFiles(
        `select _event_id from read_parquet('${mesh.lakeDir}/silver/${stream}/v1/*/*/*.parquet')`,
      )
      expect(silver.rows.map((row) => row['_event_id']).sort()).toEqual(expected)
      const landing = await queryWarehouse(mesh.warehouseFile, `select _event_id from ${stream.toUpperCase()}__V1`)
      expect(landing.rows.map((row) => row['_event_id']).sort()).toEqual(expected)
    }
    const joined = await queryWarehouse(
      mesh.warehouseFile,
      'select count(*) as n from FLIGHTS where "originCity" is null',
    )
    expect(Number(joined.rows[0]!['n'])).toBe(0)
  })

  it('rebuilds version 2 by replay, equal to version 1 row by row, and the cutover moves the view', async () => {
    const job = await callJson<ReplayJob>(`${mesh.replayerUrl()}/v1/replays`, {
      method: 'POST',
      body: { stream: 'flights' },
    })
    const replay = `${mesh.replayerUrl()}/v1/replays/${job.id}`
    await waitFor(async () => ((await callJson<ReplayJob>(replay)).state === 'READY' ? true : null), {
      what: 'the candidate to be ready',
      timeoutMs: 300_000,
      everyMs: 250,
    })
    const rows = async (version: number): Promise<unknown[]> =>
      (
        await queryWarehouse(
          mesh.warehouseFile,
          `select concat_ws(';', _lane, _topic_id, _partition, _offset, _index) as src, _key, _hash from FLIGHTS__V${version} order by all`,
        )
      ).rows as unknown[]
    const first = await rows(1)
    expect(first).toHaveLength(FLIGHTS + REPEATED)
    expect(await rows(2)).toEqual(first)

    await callJson(`${replay}/cutover`, { method: 'POST', body: {} })
    await waitFor(
      async () => {
        const versions = await queryWarehouse(mesh.warehouseFile, 'select distinct _version as v from FLIGHTS')
        return versions.rows.length === 1 && Number(versions.rows[0]!['v']) === 2 ? true : null
      },
      { what: 'the view to show version 2', timeoutMs: 180_000, everyMs: 250 },
    )
    const more = (await readFlights(mesh.root)).slice(0, 100)
    const sent = await sendFlights(mesh.gateway, more, { runId: 'after-cutover' })
    expect(sent.rejected).toEqual([])
    const summaries = await mesh.books()
    expect(summaries.flatMap((summary) => summary.verdicts.flatMap((verdict) => verdict.findings))).toEqual([])
    const view = await queryWarehouse(
      mesh.warehouseFile,
      `select count(*) as n from FLIGHTS where _event_id like 'after-cutover-%'`,
    )
    expect(Number(view.rows[0]!['n'])).toBe(100)
  })

  describeNewStream(() => mesh)
  describeBadInput(() => mesh)
})
