import { cpSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { rawTopic } from '@mesh/shared/core/topics'
import pg from 'pg'
import type { Receipt } from '../gateway-client.ts'
import { callJson } from '../http-json.ts'
import type { MeshAccess } from '../mesh-access.ts'
import { HOST } from '../stack/ports.ts'
import { findPostgres, postgresServer } from '../stack/postgres.ts'
import { findRedis, redisServer } from '../stack/redis.ts'
import type { ExtraServer, Stack } from '../stack/stack.ts'
import { waitFor } from '../wait-for.ts'
import { showLanded } from './landed-rows.ts'
import { earthquakeServer } from './pulled-demo.ts'
import type { Airport } from './real-data.ts'
import type { SourceShown } from './source-shown.ts'

/** What `--sources` brings along: the servers that the streams of `examples/sources` are pulled from. */
export const DEMO_SERVERS: readonly ExtraServer[] = [postgresServer(), redisServer(), earthquakeServer()]

const TIMEOUT_MS = 180_000
/** The airport whose row is written again at each start. */
const CHANGED = 'SFO'

/** Before anything is started: a server that is not installed is named with the way to install it. */
export function requireDemoServers(path: string | undefined): void {
  findPostgres(path)
  findRedis(path)
}

/** The project of `--sources`: the streams of `from`, with those of `examples/sources` in their place. Made anew at each start. */
export function prepareSourcesProject(from: string, codeDir: string, target: string): string {
  rmSync(target, { recursive: true, force: true })
  cpSync(join(from, 'streams'), join(target, 'streams'), { recursive: true })
  const example = join(codeDir, 'examples', 'sources')
  for (const stream of readdirSync(join(example, 'streams'))) {
    rmSync(join(target, 'streams', stream), { recursive: true, force: true })
  }
  cpSync(example, target, { recursive: true })
  return target
}

/** Fills the table that airports are captured from, and changes a row of it at each start. */
export async function fillAirports(stack: Stack, airports: readonly Airport[]): Promise<void> {
  const client = new pg.Client({ host: HOST, port: stack.ports['postgres'], user: 'postgres', database: 'postgres' })
  await client.connect()
  try {
    await client.query(`create table if not exists airports (iata text primary key, name text not null, city text,
      state text, country text, latitude float8 not null, longitude float8 not null)`)
    await client.query(
      `insert into airports select iata, name, nullif(city, 'NA'), nullif(state, 'NA'), nullif(country, 'NA'), latitude, longitude
       from json_populate_recordset(null::airports, $1) on conflict (iata) do nothing`,
      [JSON.stringify(airports)],
    )
    await client.query('update airports set city = trim(city) where iata = $1', [CHANGED])
  } finally {
    await client.end()
  }
}

/**
 * Waits until the table's rows are on the raw topic, as the auditor finds them. The receipts are the last record of each partition:
 * who has read them has all.
 */
export async function captureAirports(
  mesh: Pick<MeshAccess, 'gateway' | 'kafka'>,
): Promise<{ receipts: Receipt[]; rows: number }> {
  let last = 'the source has not begun'
  const audit = await waitFor(
    async () => {
      try {
        const report = await callJson<{ state: string; rows: { table: number; topic: number } }>(
          `${mesh.gateway.url}/v1/streams/airports/audit`,
          { method: 'POST', body: {}, apiKey: mesh.gateway.apiKey },
        )
        last = JSON.stringify(report.rows)
        return report.state === 'closed' ? report : null
      } catch (error) {
        last = String(error)
        return null
      }
    },
    { what: 'airports to be captured from PostgreSQL', timeoutMs: TIMEOUT_MS, everyMs: 500, progress: () => last },
  )
  const topic = rawTopic('airports')
  const ends = await mesh.kafka().admin.offsets(topic)
  const receipts = ends
    .filter(({ highWatermark }) => highWatermark > 0)
    .map(({ partition, lastStableOffset }, index) => ({
      index,
      status: 'captured',
      topic,
      partition,
      offset: lastStableOffset - 1,
    }))
  return { receipts, rows: audit.rows.table }
}

/** Waits until the captured rows have landed; the one that is shown was changed in the table at this start. */
export function showAirports(
  mesh: Pick<MeshAccess, 'warehouseFile'>,
  { rows, postgresPort }: { readonly rows: number; readonly postgresPort: number },
): Promise<SourceShown> {
  const from = `PostgreSQL ${HOST}:${postgresPort}, table public.airports, change capture`
  const expected = { stream: 'airports', from, expected: rows, table: 'AIRPORTS', shown: `iata = '${CHANGED}'` }
  return showLanded(mesh, expected, TIMEOUT_MS)
}
