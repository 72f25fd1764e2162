import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { findFreePorts } from '../../packages/cli/src/stack/ports.ts'
import { createFolders, stateLayout } from '../../packages/cli/src/stack/state.ts'
import { type Superset, startSuperset } from '../../packages/cli/src/stack/superset.ts'
import { fillGold } from '../../services/console/test/support/gold-file.ts'
import { CACHE, ROOT } from './demo-mesh.ts'

const GOLD = [
  `INSERT INTO daily_airport_delays VALUES ('LAX', '2001-01-01', 'Los Angeles', 'CA', 10, 4, 12.5, 90, 'r1'),
    ('LAX', '2001-01-02', 'Los Angeles', 'CA', 30, 2, 3.5, 40, 'r1'), ('SFO', '2001-01-01', 'San Francisco', 'CA', 7, 7, 61, 200, 'r1')`,
  `INSERT INTO route_performance VALUES ('LAX', 'SFO', 40, 34, 5.75, 337, '2001-01-01', '2001-01-02', 'r1'),
    ('SFO', 'LAX', 7, 0, 61, 337, '2001-01-01', '2001-01-01', 'r1')`,
  `INSERT INTO repository_activity VALUES ('octo/mesh', '2001-01-01', 12, 3, 4, 1, 6, 'r1')`,
]

type Chart = { readonly id: number; readonly slice_name: string; readonly viz_type: string }
type Answer = {
  readonly result: readonly { readonly data: readonly Record<string, unknown>[]; readonly error: unknown }[]
}

const folder = mkdtempSync(join(tmpdir(), 'mesh-superset-'))
const gold = join(folder, 'gold.duckdb')
let superset: Superset
let headers: Record<string, string> = {}

beforeAll(async () => {
  await fillGold(gold, GOLD)
  superset = await open()
})
afterAll(async () => {
  await superset?.child.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** Superset of this test's own state, logged in. */
async function open(): Promise<Superset> {
  const layout = stateLayout(folder, CACHE)
  createFolders(layout)
  const started = await startSuperset({
    folder: join(ROOT, 'transforms', 'superset'),
    boards: join(ROOT, 'transforms', 'bi', 'superset'),
    goldFile: gold,
    layout,
    port: (await findFreePorts(['superset']))['superset']!,
    env: process.env,
    onProgress: (text) => console.log(`superset ${text}`),
  })
  const { access_token: token } = await callJson<{ access_token: string }>(`${started.url}/api/v1/security/login`, {
    method: 'POST',
    body: { username: started.user, password: started.password, provider: 'db', refresh: false },
  })
  headers = { authorization: `Bearer ${token}` }
  return started
}

async function ask<T>(path: string): Promise<T> {
  const response = await fetch(`${superset.url}${path}`, { headers })
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
  return (await response.json()) as T
}
const charts = async (): Promise<readonly Chart[]> =>
  (await ask<{ result: readonly Chart[] }>(`/api/v1/chart/?q=(page_size:100)`)).result

async function rowsOf(title: string, kind: string): Promise<readonly Record<string, unknown>[]> {
  const chart = (await charts()).find((each) => each.slice_name === title && each.viz_type === kind)!
  const { result } = await ask<Answer>(`/api/v1/chart/${chart.id}/data/?force=true`)
  expect(result[0]!.error).toBeNull()
  return result[0]!.data
}

test('both boards are there, with a chart for every number that the metrics file gives them', async () => {
  const { result } = await ask<{ result: readonly { slug: string }[] }>('/api/v1/dashboard/')
  expect(result.map(({ slug }) => slug).sort()).toEqual(['operations_board', 'repository_report'])
  const big = (await charts()).filter(({ viz_type }) => viz_type === 'big_number_total')
  expect(big).toHaveLength(8)
})

test('its numbers are those of gold: a ratio of sums, an average that counts every flight', async () => {
  expect(await rowsOf('Share delayed', 'big_number_total')).toEqual([{ delayed_share: 13 / 47 }])
  const routes = await rowsOf('Route performance', 'table')
  expect(routes).toEqual([
    { origin: 'LAX', destination: 'SFO', on_time_share: 34 / 40, route_average_delay: 5.75 },
    { origin: 'SFO', destination: 'LAX', on_time_share: 0, route_average_delay: 61 },
  ])
  const [all] = (await rowsOf('Average delay', 'big_number_total')).map((row) => Object.values(row)[0])
  expect([(125 + 105 + 427) / 47, (40 * 5.75 + 7 * 61) / 47]).toContainEqual(all)
  const days = await rowsOf('Number of flights by day', 'echarts_timeseries_line')
  // The chart orders its axis, its query does not.
  expect(new Set(days.map(({ departures }) => departures))).toEqual(new Set([17, 30]))
  expect(days).toHaveLength(2)
})

test('while Superset is up, the file is free for its writer, and a changed row shows', async () => {
  const instance = await DuckDBInstance.create(gold)
  const connection = await instance.connect()
  await connection.run(`UPDATE repository_activity SET events = 13`)
  connection.closeSync()
  instance.closeSync()
  expect(await rowsOf('Number of events', 'big_number_total')).toEqual([{ events: 13 }])
})

test('started again, it has the same boards once', async () => {
  const before = (await charts()).length
  await superset.child.stop()
  superset = await open()
  expect(await charts()).toHaveLength(before)
})
