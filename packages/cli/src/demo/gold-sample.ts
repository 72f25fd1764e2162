import type { JobsResponse, Run } from '@mesh/shared/core/runs'
import { cellText, queryWithGold } from '@mesh/shared/warehouse/duckdb-reader'
import { callJson } from '../http-json.ts'
import type { MeshAccess } from '../mesh-access.ts'
import { waitFor } from '../wait-for.ts'

export type GoldSample =
  | {
      readonly state: 'there'
      readonly run: Run
      readonly columns: readonly string[]
      readonly rows: readonly (readonly string[])[]
    }
  /** No job, or no Python for dbt: the rest of the mesh does without. */
  | { readonly state: 'absent'; readonly reason: string }
  | { readonly state: 'failed'; readonly reason: string }

const COLUMNS = 'origin, flight_date, city, flights, delayed, avg_delay, _run_id'

/** Waits until the job `gold` has taken up everything that has landed, then reads rows of its newest run back. */
export async function readGold(mesh: MeshAccess, timeoutMs: number): Promise<GoldSample> {
  const ended = await waitFor(() => settledJob(mesh), {
    what: 'the job gold to take up what has landed',
    timeoutMs,
    everyMs: 200,
  })
  if ('reason' in ended) return ended
  const sql = `select ${COLUMNS} from gold.daily_airport_delays order by flights desc, origin limit 3`
  const { columns, rows } = await queryWithGold({ landing: mesh.warehouseFile, gold: mesh.goldFile }, sql)
  return {
    state: 'there',
    run: ended,
    columns,
    rows: rows.map((row) => columns.map((column) => cellText(row[column]))),
  }
}

async function settledJob({
  jobTriggerUrl,
}: MeshAccess): Promise<Run | Exclude<GoldSample, { state: 'there' }> | null> {
  const { jobs } = await callJson<JobsResponse>(`${jobTriggerUrl}/v1/jobs`)
  const job = jobs.find(({ name }) => name === 'gold')
  if (!job) return { state: 'absent', reason: 'the project has no jobs/gold.yaml' }
  if (job.error) return { state: 'failed', reason: job.error.message }
  const waiting = job.open.find(({ error }) => error?.code === 'MESH_JOB_ENGINE_AWAY')
  if (waiting) return { state: 'absent', reason: `${waiting.error!.message}; the run waits and starts by itself` }
  if (job.last?.state === 'dead') return { state: 'failed', reason: job.last.error?.message ?? 'the run is dead' }
  return job.last !== null && job.open.length === 0 && job.pendingOffsets === 0 ? job.last : null
}
