import { join } from 'node:path'
import type { MeshAccess } from '../mesh-access.ts'
import { HOST, isPortOpen } from '../stack/ports.ts'
import type { ExtraServer } from '../stack/stack.ts'
import { pidFile } from '../stack/state.ts'
import { countClicks } from './click-sender.ts'
import { showLanded } from './landed-rows.ts'
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
  readonly mesh: Pick<MeshAccess, 'warehouseFile'>
  readonly codeDir: string
  readonly redisPort: number
  readonly timeoutMs: number
}

/** Waits until what Redis and the server hold has landed: each click once, each earthquake as one row. */
export async function showPulled({ mesh, codeDir, redisPort, timeoutMs }: PulledOptions): Promise<SourceShown[]> {
  const clicks = {
    stream: 'clicks',
    from: `Redis ${HOST}:${redisPort}, stream clicks`,
    expected: await countClicks(redisPort),
    table: 'CLICKS',
  }
  const quakes = {
    stream: 'earthquakes',
    from: 'HTTP server, polled by REST and by GraphQL',
    expected: (await readEarthquakes(codeDir)).length,
    table: 'EARTHQUAKES',
  }
  return [await showLanded(mesh, clicks, timeoutMs), await showLanded(mesh, quakes, timeoutMs)]
}
