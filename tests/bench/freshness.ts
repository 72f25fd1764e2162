import { cpSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import type { RunsResponse } from '@mesh/shared/core/runs'
import { queryWithGold } from '@mesh/shared/warehouse/duckdb-reader'
import { postEvents } from '../../packages/cli/src/gateway-client.ts'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { startMesh } from '../e2e/mesh-under-test.ts'
import { quantile } from './table.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const POLL_MS = 20

/** Seconds of one event: POST answered → its row in landing's next run → the changed row of gold read back. */
export type Freshness = {
  readonly samples: number
  readonly p50: number
  readonly p99: number
  readonly runP50: number
  /** Runs that took more than one attempt, with what the first one failed of. */
  readonly repeated: readonly string[]
  readonly load: number
}

/** One flight at a time, each on a day of its own: posted, and timed until gold has its row. */
export async function measureFreshness(samples: number, say: (text: string) => void): Promise<Freshness> {
  const mesh = await startMesh(join(ROOT, '.mesh', 'cache'), {
    services: ['replayer', 'ingest-gateway', 'enricher', 'warehouse-sink', 'job-trigger'],
    prepare(projectDir) {
      for (const folder of ['jobs', join('transforms', 'dbt')]) {
        cpSync(join(ROOT, folder), join(projectDir, folder), { recursive: true })
      }
    },
  })
  try {
    await mesh.apply().catch(() => mesh.apply())
    const files = { landing: mesh.warehouseFile, gold: join(mesh.warehouseFile, '..', 'gold.duckdb') }
    const seconds: number[] = []
    // The first one waits for dbt to start: it is not counted.
    for (let i = 0; i <= samples; i++) {
      const day = new Date(Date.UTC(2001, 0, 1 + i)).toISOString().slice(0, 10)
      const body = `${JSON.stringify({ id: `fresh-${i}`, date: `${day.replaceAll('-', '/')} 06:55`, delay: 1, distance: 1, origin: 'LAX', destination: 'SFO' })}\n`
      const startedAt = performance.now()
      await postEvents(mesh.gateway, 'flights', body, {
        contentType: 'application/x-ndjson',
        idempotencyKey: `fresh-${i}`,
      })
      const sql = `select 1 as found from gold.daily_airport_delays where flight_date = '${day}'`
      await waitFor(
        async () => ((await queryWithGold(files, sql).catch(() => null))?.rows.length === 1 ? true : null),
        {
          what: `the flight of ${day} in gold`,
          timeoutMs: 300_000,
          everyMs: POLL_MS,
        },
      )
      const took = (performance.now() - startedAt) / 1000
      if (i > 0) seconds.push(took)
      say(`${i}/${samples}: ${took.toFixed(2)} s`)
    }
    const url = mesh.stack.addresses.services['job-trigger']!
    const { runs } = await callJson<RunsResponse>(`${url}/v1/runs?job=gold`)
    const took = runs.flatMap(({ startedAt, endedAt }) =>
      startedAt && endedAt ? [(Date.parse(endedAt) - Date.parse(startedAt)) / 1000] : [],
    )
    return {
      samples,
      p50: quantile(seconds, 0.5),
      p99: quantile(seconds, 0.99),
      runP50: quantile(took, 0.5),
      repeated: runs
        .filter(({ attempt }) => attempt > 1)
        .map(({ id, attempts }) => `${id}: ${attempts[0]?.error?.message ?? 'no error is told'}`),
      load: loadavg()[0] ?? 0,
    }
  } finally {
    await mesh.stop()
  }
}

export function renderFreshness({ samples, p50, p99, runP50, repeated, load }: Freshness): string {
  return [
    '| from a POST to the changed row of gold | seconds |',
    '|---|--:|',
    `| p50 of ${samples} | ${p50.toFixed(2)} |`,
    `| p99 of ${samples} | ${p99.toFixed(2)} |`,
    `| of it the dbt run, p50 | ${runP50.toFixed(2)} |`,
    `| runs that were tried again | ${repeated.length} |`,
    '',
    ...repeated,
    `Load at the end of the measurement: ${load.toFixed(1)}.`,
  ].join('\n')
}
