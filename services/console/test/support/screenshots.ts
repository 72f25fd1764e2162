/**
 * `npm run screenshots [folder]`: the gold page as Chromium draws it, wide, narrow, dark and without gold. It starts no mesh: the page's own
 * routes over a gold file with sample rows.
 */
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { createTelemetry } from '@mesh/shared/runtime/telemetry'
import { createEventStream } from '../../src/adapters/event-stream.ts'
import { createGoldReader } from '../../src/adapters/gold-reader.ts'
import { registerRoutes } from '../../src/routes.ts'
import type { Console } from '../../src/service.ts'
import { fillGold } from './gold-file.ts'

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const MIN_BYTES = 10_000

const out = process.argv[2] ?? join(import.meta.dirname, '..', '..', '..', '..', '.mesh', 'screenshots')
const browser = findBrowser()
const work = mkdtempSync(join(tmpdir(), 'mesh-screenshots-'))
mkdirSync(out, { recursive: true })
try {
  const file = join(work, 'gold.duckdb')
  await fillGold(file, sampleRows())
  await withPage(file, async (url) => {
    await shoot(url, 'gold', ['--window-size=1320,1240'])
    await shoot(url, 'gold-dark', ['--window-size=1320,1240', '--blink-settings=preferredColorScheme=0'])
    await shoot(url, 'gold-narrow', ['--window-size=500,1900'])
  })
  await withPage(join(work, 'none.duckdb'), (url) => shoot(url, 'gold-none', ['--window-size=1320,420']))
} finally {
  rmSync(work, { recursive: true, force: true })
}

function findBrowser(): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter)
  const found = [process.env['CHROMIUM'] ?? '', ...NAMES.flatMap((name) => folders.map((folder) => join(folder, name)))]
  const path = found.find((each) => each !== '' && existsSync(each))
  if (path === undefined) throw new Error('there is no Chromium: apt-get install chromium, or set CHROMIUM to its path')
  return path
}

async function withPage(file: string, use: (url: string) => Promise<void>): Promise<void> {
  const http = createHttpServer({
    host: '127.0.0.1',
    port: 0,
    telemetry: createTelemetry('screenshots'),
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
    await use(`${http.address()}/gold`)
  } finally {
    await http.stop()
  }
}

async function shoot(url: string, name: string, options: readonly string[]): Promise<void> {
  const image = join(out, `${name}.png`)
  const own = [
    '--headless',
    '--no-sandbox',
    '--disable-gpu',
    '--hide-scrollbars',
    `--user-data-dir=${join(work, name)}`,
  ]
  await promisify(execFile)(browser, [...own, ...options, '--virtual-time-budget=4000', `--screenshot=${image}`, url], {
    timeout: 120_000,
  })
  if (!existsSync(image) || statSync(image).size < MIN_BYTES) throw new Error(`${image}: Chromium drew nothing`)
  console.log(image)
}

/** The same rows at every call. */
function sampleRows(): string[] {
  return [
    `INSERT INTO daily_airport_delays SELECT a.code, DATE '2001-01-01' + d::INTEGER, a.city, NULL, a.n + (d * 7 + a.n) % 23, (a.n + (d * 5) % 11) * a.late // 100, a.late / 2.0 - 4 + d % 5, 120, 'sample'
     FROM (VALUES ('ATL', 'Atlanta', 62, 31), ('ORD', 'Chicago', 55, 38), ('DFW', 'Dallas-Fort Worth', 48, 24), ('LAX', 'Los Angeles', 41, 19), ('PHX', 'Phoenix', 35, 22), ('DEN', 'Denver', 33, 27), ('LAS', 'Las Vegas', 28, 17), ('SFO', NULL, 22, 35), ('JFK', 'New York', 14, 29)) a(code, city, n, late), range(60) days(d)`,
    `INSERT INTO route_performance SELECT o, t, n, (n * p) // 100, 18 - p / 6.0, 300 + n, DATE '2001-01-01', DATE '2001-03-01', 'sample'
     FROM (VALUES ('LAX', 'LAS', 512, 82), ('ORD', 'ATL', 488, 71), ('DFW', 'ORD', 431, 78), ('PHX', 'LAX', 420, 88), ('SFO', 'LAX', 377, 64), ('DEN', 'ORD', 301, 75), ('ATL', 'JFK', 254, 69), ('JFK', 'LAX', 198, 73), ('LAS', 'PHX', 1, 100)) r(o, t, n, p)`,
    `INSERT INTO repository_activity SELECT r, DATE '2024-05-01' + d::INTEGER, n, 3, n * 2, n // 4, n // 3, 'sample'
     FROM (VALUES ('octo-org/very-long-repository-name-for-the-page', 40), ('Codertocat/Hello-World', 25), ('mesh/kappa', 9)) v(r, n), range(20) days(d)`,
  ]
}
