import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { sendClicks } from '../../packages/cli/src/demo/click-sender.ts'
import {
  type Earthquake,
  type EarthquakeServer,
  serveEarthquakes,
} from '../../packages/cli/src/demo/earthquake-server.ts'
import { redisServer } from '../../packages/cli/src/stack/redis.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { type MeshUnderTest, startMesh } from './mesh-under-test.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const QUAKES = (
  JSON.parse(readFileSync(join(ROOT, 'node_modules/vega-datasets/data/earthquakes.json'), 'utf8')) as {
    features: Earthquake[]
  }
).features
const CLICKS = 300
const PATIENCE_MS = 300_000

let mesh: MeshUnderTest
let quakes: EarthquakeServer

beforeAll(async () => {
  quakes = await serveEarthquakes(QUAKES)
  mesh = await startMesh(inject('stackCache'), {
    project: join(ROOT, 'examples', 'sources'),
    extras: [redisServer()],
    env: {
      MESH_DEMO_QUAKES_URL: quakes.url,
      MESH_OUTBOUND_ALLOWED_CIDRS: '127.0.0.0/8',
      MESH_OUTBOUND_PORTS: String(quakes.port),
    },
  })
}, PATIENCE_MS)
afterAll(async () => {
  await mesh?.stop()
  await quakes?.stop()
})

/** 0 while there is no table yet. */
async function count(what: string): Promise<number> {
  const found = await queryWarehouse(mesh.warehouseFile, `SELECT ${what}`).catch(() => null)
  return Number(Object.values(found?.rows[0] ?? { n: 0 })[0])
}

it(
  'what a server and a Redis hold lands in the warehouse: each earthquake and click once, whatever is killed',
  async () => {
    await mesh.apply(mesh.projectDir, ['clicks', 'earthquakes'])
    const port = mesh.stack.ports['redis']!
    await sendClicks(port, { count: CLICKS / 2, startMs: Date.UTC(2026, 0, 1) })
    mesh.stack.kill('ingest-gateway', 'SIGKILL')
    await sendClicks(port, { count: CLICKS / 2, startMs: Date.UTC(2026, 0, 2) })

    const quick = { timeoutMs: PATIENCE_MS, everyMs: 1000 }
    await waitFor(async () => ((await count('count(*) FROM CLICKS')) >= CLICKS ? true : null), {
      ...quick,
      what: 'all clicks to land',
    })
    await waitFor(async () => ((await count('count(*) FROM EARTHQUAKES')) >= QUAKES.length ? true : null), {
      ...quick,
      what: 'all earthquakes to land',
    })
    expect(await count('count(*) FROM CLICKS')).toBe(CLICKS)
    expect(await count('count(DISTINCT _event_id) FROM CLICKS')).toBe(CLICKS)
    expect(await count('count(*) FROM EARTHQUAKES')).toBe(QUAKES.length)
    expect(await count("count(*) FROM EARTHQUAKES__V1 WHERE _op = 'upsert'")).toBe(QUAKES.length)
    const books = await mesh.books(PATIENCE_MS)
    expect(books.map(({ state }) => state)).toEqual(['closed', 'closed'])
  },
  2 * PATIENCE_MS,
)
