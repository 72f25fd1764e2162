import { join } from 'node:path'
import { queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import type { MeshAccess } from '../mesh-access.ts'
import { HOST, isPortOpen } from '../stack/ports.ts'
import type { ExtraServer } from '../stack/stack.ts'
import { pidFile } from '../stack/state.ts'
import { waitFor } from '../wait-for.ts'
import { countClicks } from './click-sender.ts'
import { readEarthquakes } from './real-data.ts'
import type { SourceShown } from './source-shown.ts'

export const DEMO_CLICKS = 500

const ROOT = join(import.meta.dirname, '..', '..', '..', '..')

/** A week of earthquakes as a server of its own; services find it by MESH_DEMO_QUAKES_URL, and are allowed to reach it. */
export function earthquakeServer(): ExtraServer {
  return {
    name: 'earthquakes',
    spec: ({ port, layout, env }) => ({
      name: 'earthquakes',
      command: process.execPath,
      args: [join(import.meta.dirname, 'earthquake-process.ts'), ROOT, String(port)],
      env,
      cwd: layout.root,
      logFile: join(layout.logs, 'earthquakes.log'),
      pidFile: pidFile(layout, 'earthquakes'),
      isReady: () => isPortOpen(port),
      readyTimeoutMs: 60_000,
      stopTimeoutMs: 5000,
    }),
    environment: (port) => ({
      MESH_DEMO_QUAKES_URL: `http://${HOST}:${port}`,
      MESH_OUTBOUND_ALLOWED_CIDRS: `${HOST}/32`,
      MESH_OUTBOUND_PORTS: String(port),
    }),
  }
}

export type PulledOptions = {
  readonly mesh: MeshAccess
  readonly codeDir: string
  readonly redisPort: number
  readonly timeoutMs: number
}

/** Waits until what Redis and the server hold has landed: each click once, each earthquake as one row. */
export async function showPulled({ mesh, codeDir, redisPort, timeoutMs }: PulledOptions): Promise<SourceShown[]> {
  const clicks = await countClicks(redisPort)
  const quakes = (await readEarthquakes(codeDir)).length
  const shown = [
    { what: 'clicks (Redis stream)', table: 'CLICKS', expected: clicks },
    { what: 'earthquakes (REST and GraphQL)', table: 'EARTHQUAKES', expected: quakes },
  ]
  const found: SourceShown[] = []
  for (const { what, table, expected } of shown) {
    let rows = 0
    await waitFor(async () => ((rows = await rowsOf(mesh, table)) >= expected ? true : null), {
      what: `${expected} rows of ${what}`,
      timeoutMs,
      everyMs: 500,
      progress: () => `${rows} rows`,
    })
    found.push({ what, expected, found: rows })
  }
  return found
}

/** 0 while there is no table yet. */
async function rowsOf(mesh: MeshAccess, table: string): Promise<number> {
  const result = await queryWarehouse(mesh.warehouseFile, `SELECT count(*) AS n FROM ${table}`).catch(() => null)
  return Number(result?.rows[0]?.['n'] ?? 0)
}
