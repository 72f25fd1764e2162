import { join } from 'node:path'
import { queryFiles } from '@mesh/shared/warehouse/duckdb-reader'
import { readAirports, readFlights } from '../../packages/cli/src/demo/real-data.ts'
import { sendAirports, sendFlights } from '../../packages/cli/src/demo/senders.ts'
import { postEvents } from '../../packages/cli/src/gateway-client.ts'
import { overall } from '../../packages/cli/src/verify/verify.ts'
import { type MeshOptions, type MeshUnderTest, startMesh } from '../e2e/mesh-under-test.ts'

export const ROOT: string = join(import.meta.dirname, '..', '..')
export const CACHE: string = join(ROOT, '.mesh', 'cache')
const FLIGHTS = 2000
/** Flights of the demonstration that are sent once more, under request ids of their own: duplicates by event id. */
const AGAIN = 100

/** A mesh with the demonstration's data in every layer, some of it twice, some of it bad. */
export async function startDemoMesh(options: MeshOptions = {}): Promise<MeshUnderTest> {
  const mesh = await startMesh(CACHE, {
    services: ['replayer', 'ingest-gateway', 'enricher', 'lake-sink', 'warehouse-sink', ...(options.services ?? [])],
    ...(options.prepare ? { prepare: options.prepare } : {}),
    ...(options.env ? { env: options.env } : {}),
  })
  try {
    await mesh.apply(mesh.projectDir, ['airports', 'flights'])
    await sendAirports(mesh.gateway, await readAirports(ROOT), { runId: 'engines' })
    await settle(mesh)
    await postFlights(mesh, FLIGHTS)
    await settle(mesh)
    return mesh
  } catch (error) {
    await mesh.stop()
    throw error
  }
}

export async function postFlights(mesh: MeshUnderTest, count: number, from = 0): Promise<void> {
  const flights = (await readFlights(ROOT)).slice(from, from + count)
  await sendFlights(mesh.gateway, flights, { runId: `engines-${from}` })
  const bad = [
    { id: `bad-date-${from}`, date: 'yesterday', delay: 1, distance: 2, origin: 'LAX', destination: 'SFO' },
    { id: `ferry-${from}`, date: '2001/01/01 10:00', delay: 1, distance: 0, origin: 'LAX', destination: 'SFO' },
  ]
  const again = flights.slice(0, AGAIN).map((flight, i) => ({ ...flight, id: `again-${from}-${i}` }))
  for (const key of ['first', 'second']) {
    const lines = [...bad, ...again].map((event) => JSON.stringify(event)).join('\n')
    await postEvents(mesh.gateway, 'flights', `${lines}\n`, {
      contentType: 'application/x-ndjson',
      idempotencyKey: `${key}-${from}`,
    })
  }
}

/** Until every layer has what the enricher has decided, and the books close. */
export async function settle(mesh: MeshUnderTest): Promise<void> {
  const books = await mesh.books(500_000)
  if (overall(books) !== 'closed') throw new Error(`the books do not close: ${JSON.stringify(books).slice(0, 2000)}`)
}

/** Rows of `left` that are not in `right` and the other way round, duplicates counted: 0 means the same bag of rows. */
export async function differences(left: string, right: string): Promise<{ left: number; right: number; rows: number }> {
  const { rows } = await queryFiles(`
    WITH l AS (${left}), r AS (${right})
    SELECT (SELECT count(*) FROM (SELECT * FROM l EXCEPT ALL SELECT * FROM r))::INT AS l,
      (SELECT count(*) FROM (SELECT * FROM r EXCEPT ALL SELECT * FROM l))::INT AS r, (SELECT count(*) FROM r)::INT AS n`)
  const [row] = rows
  return { left: Number(row!['l']), right: Number(row!['r']), rows: Number(row!['n']) }
}
