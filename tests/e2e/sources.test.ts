import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { countClicks, sendClicks } from '../../packages/cli/src/demo/click-sender.ts'
import { showPulled } from '../../packages/cli/src/demo/pulled-demo.ts'
import { readAirports, readEarthquakes, readFlights } from '../../packages/cli/src/demo/real-data.ts'
import { sendFlights } from '../../packages/cli/src/demo/senders.ts'
import {
  captureAirports,
  DEMO_SERVERS,
  fillAirports,
  prepareSourcesProject,
  showAirports,
} from '../../packages/cli/src/demo/sources-demo.ts'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { readPulled } from '../../packages/cli/src/pulled-view.ts'
import { type MeshUnderTest, startMesh } from './mesh-under-test.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const STREAMS = ['airports', 'clicks', 'earthquakes', 'flights']
const CLICKS = 300
const FLIGHTS = 500
const PATIENCE_MS = 300_000

let mesh: MeshUnderTest
let project: string

beforeAll(async () => {
  project = prepareSourcesProject(ROOT, ROOT, mkdtempSync(join(tmpdir(), 'mesh-sources-')))
  mesh = await startMesh(inject('stackCache'), { project, extras: DEMO_SERVERS })
}, PATIENCE_MS)
afterAll(async () => {
  await mesh?.stop()
  rmSync(project, { recursive: true, force: true, maxRetries: 10 })
})

const rows = async (sql: string): Promise<readonly Readonly<Record<string, unknown>>[]> =>
  (await queryWarehouse(mesh.warehouseFile, sql)).rows
const count = async (what: string, table: string): Promise<number> =>
  Number((await rows(`select count(${what}) as n from ${table}`))[0]?.['n'])

/** As `mesh sources` shows what Kafka Connect reads. */
async function connectSources(): Promise<string[][]> {
  const told = await callJson<{ sources: { source: string; state: string }[] }>(`${mesh.gateway.url}/v1/sources`)
  return told.sources.map(({ source, state }) => [source, state])
}

it(
  'what `start --sources` shows: a table, a Redis and a server land each row once, and flights join what was captured, whatever is killed',
  async () => {
    const airports = await readAirports(ROOT)
    await fillAirports(mesh.stack, airports)
    await mesh.apply(mesh.projectDir, STREAMS)
    const captured = await captureAirports({ gateway: mesh.gateway, kafka: () => mesh.kafka })
    expect(captured.rows).toBe(airports.length)

    const redisPort = mesh.stack.ports['redis']!
    await sendClicks(redisPort, { count: CLICKS / 2, startMs: Date.UTC(2026, 0, 1) })
    mesh.stack.kill('ingest-gateway', 'SIGKILL')
    await sendClicks(redisPort, { count: CLICKS / 2, startMs: Date.UTC(2026, 0, 2) })
    expect(await countClicks(redisPort)).toBe(CLICKS)

    const where = { mesh, codeDir: ROOT, redisPort, timeoutMs: PATIENCE_MS }
    const shown = [
      await showAirports(mesh, { rows: captured.rows, postgresPort: mesh.stack.ports['postgres']! }),
      ...(await showPulled(where)),
    ]
    const quakes = (await readEarthquakes(ROOT)).length
    expect(shown.map(({ stream, expected, found }) => [stream, expected, found])).toEqual([
      ['airports', airports.length, airports.length],
      ['clicks', CLICKS, CLICKS],
      ['earthquakes', quakes, quakes],
    ])
    for (const { row } of shown) expect(row).toMatchObject({ _op: 'upsert' })
    expect(shown[0]?.row).toMatchObject({ iata: 'SFO', city: 'San Francisco' })

    // The gateway that came back has to join first.
    await expect.poll(connectSources).toEqual([['geography', 'running']])
    const pulled = async (): Promise<string[]> =>
      (await readPulled(mesh.gateway.url)).map(({ source }) => source).sort()
    await expect.poll(pulled).toEqual(['cache/clicks', 'quakes/earthquakes', 'quakes/earthquakes~2'])

    const flights = (await readFlights(ROOT)).slice(0, FLIGHTS)
    const sent = await sendFlights(mesh.gateway, flights, { runId: 'sources' })
    expect(sent.receipts).toHaveLength(FLIGHTS)
    const books = await mesh.books(PATIENCE_MS)
    expect(books.map(({ state }) => state)).toEqual(STREAMS.map(() => 'closed'))

    expect(await count('distinct _event_id', 'CLICKS')).toBe(CLICKS)
    expect(await count('*', 'EARTHQUAKES__V1')).toBe(quakes)
    expect(await count('*', 'FLIGHTS')).toBe(FLIGHTS)
    const cities = new Map(airports.map(({ iata, city }) => [iata, city]))
    for (const { origin, originCity } of await rows('select origin, originCity from FLIGHTS')) {
      expect(originCity).toBe(cities.get(String(origin)) ?? null)
    }
  },
  3 * PATIENCE_MS,
)
