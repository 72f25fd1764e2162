import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { createTelemetry } from '@mesh/shared/runtime/telemetry'
import { createEventStream } from '../../src/adapters/event-stream.ts'
import { createGoldReader } from '../../src/adapters/gold-reader.ts'
import { registerRoutes } from '../../src/routes.ts'
import type { Console } from '../../src/service.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const OPTIONS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  '--virtual-time-budget=4000',
]

/** @throws Error with what to install */
export function findChromium(env: Readonly<Record<string, string | undefined>>): string {
  const folders = (env['PATH'] ?? '').split(delimiter)
  const found = [env['CHROMIUM'] ?? '', ...NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))]
  const path = found.find((each) => each !== '' && existsSync(each))
  if (path === undefined) throw new Error('there is no Chromium: apt-get install chromium, or set CHROMIUM to its path')
  return path
}

/** Has Chromium open a page and let it settle. @returns what it prints */
export async function withChromium(url: string, profile: string, options: readonly string[]): Promise<string> {
  const args = [...OPTIONS, `--user-data-dir=${profile}`, ...options, url]
  const { stdout } = await promisify(execFile)(findChromium(process.env), args, {
    timeout: 240_000,
    maxBuffer: 64 * 1024 * 1024,
  })
  return stdout
}

/** The console's own routes over a gold file, without a mesh. */
export async function withGoldPage<T>(file: string, use: (url: string) => Promise<T>): Promise<T> {
  const http = createHttpServer({
    host: '127.0.0.1',
    port: 0,
    telemetry: createTelemetry('gold-page'),
    logger: SILENT_LOGGER,
    readiness: () => ({ ready: true, detail: {} }),
    routes: (app) =>
      registerRoutes(app, {
        // The gold page asks for nothing of the mesh.
        mesh: {} as Console,
        pages: createEventStream(1, () => {}),
        gold: createGoldReader(file, 0, () => performance.now()),
      }),
  })
  await http.start()
  try {
    return await use(`${http.address()}/gold`)
  } finally {
    await http.stop()
  }
}

/** The same rows at every call. */
export function sampleRows(): string[] {
  return [
    `INSERT INTO daily_airport_delays SELECT a.code, DATE '2001-01-01' + d::INTEGER, a.city, NULL, a.n + (d * 7 + a.n) % 23, (a.n + (d * 5) % 11) * a.late // 100, a.late / 2.0 - 4 + d % 5, 120, 'sample'
     FROM (VALUES ('ATL', 'Atlanta', 62, 31), ('ORD', 'Chicago', 55, 38), ('DFW', 'Dallas-Fort Worth', 48, 24), ('LAX', 'Los Angeles', 41, 19), ('PHX', 'Phoenix', 35, 22), ('DEN', 'Denver', 33, 27), ('LAS', 'Las Vegas', 28, 17), ('SFO', NULL, 22, 35), ('JFK', 'New York', 14, 29)) a(code, city, n, late), range(60) days(d)`,
    `INSERT INTO route_performance SELECT o, t, n, (n * p) // 100, 18 - p / 6.0, 300 + n, DATE '2001-01-01', DATE '2001-03-01', 'sample'
     FROM (VALUES ('LAX', 'LAS', 512, 82), ('ORD', 'ATL', 488, 71), ('DFW', 'ORD', 431, 78), ('PHX', 'LAX', 420, 88), ('SFO', 'LAX', 377, 64), ('DEN', 'ORD', 301, 75), ('ATL', 'JFK', 254, 69), ('JFK', 'LAX', 198, 73), ('LAS', 'PHX', 1, 100)) r(o, t, n, p)`,
    `INSERT INTO repository_activity SELECT r, DATE '2024-05-01' + d::INTEGER, n, 3, n * 2, n // 4, n // 3, 'sample'
     FROM (VALUES ('octo-org/very-long-repository-name-for-the-page', 40), ('Codertocat/Hello-World', 25), ('mesh/kappa', 9)) v(r, n), range(20) days(d)`,
  ]
}
