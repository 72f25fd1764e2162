import type { JobView, Run, StreamingState } from '@mesh/shared/core/runs'
import { renderColumns } from './table.ts'

/** @param now epoch ms */
export function renderJobs(jobs: readonly JobView[], now: number): string {
  const header = ['job', 'engine', 'state', 'last run', 'input', 'freshness', 'pending', 'dead']
  return renderColumns([
    header,
    ...jobs.map((job) => [
      job.name,
      job.engine ?? '-',
      jobState(job),
      job.last ? `${job.last.state} ${ago(job.last.endedAt, now)}` : '-',
      job.last ? inputText(job.last) : '-',
      job.last ? (freshness(job.last) ?? '-') : '-',
      String(job.pendingOffsets),
      String(job.dead.length),
    ]),
  ])
}

export function jobState(job: JobView): string {
  if (job.error) return 'REFUSED'
  const [run] = job.open
  if (!run) return job.last?.state === 'stopped' ? 'stopped' : 'idle'
  if (run.streaming && run.state === 'running' && !run.error) return streamText(run.streaming)
  if (run.error) return `waits: ${run.error.message}`.slice(0, 80)
  return run.state === 'planned' ? 'starting' : run.state === 'failed' ? 'tries again' : 'running'
}

function streamText({ stop, engineState, changed }: StreamingState): string {
  if (stop) return 'stopping, with a savepoint'
  return `streams: ${engineState ?? 'starting'}${changed ? ', by a program that has changed since' : ''}`
}

/** `flights v1 [0, 5000), github v1 [0, 329)`: per stream, summed over its partitions. */
export function inputText(run: Run): string {
  const streams = new Map<string, { from: number; to: number }>()
  for (const { layer, stream, version, from, to } of run.vector) {
    const name = `${layer === 'landing' ? '' : `${layer} `}${stream} v${version}`
    const sum = streams.get(name) ?? { from: 0, to: 0 }
    streams.set(name, { from: sum.from + from, to: sum.to + to })
  }
  const parts = [...streams].map(([name, { from, to }]) => `${name} +${to - from} to ${to}`)
  return `${run.full ? 'in full: ' : ''}${parts.join(', ') || 'nothing new'}`
}

export function renderRuns(runs: readonly Run[], now: number): string {
  const header = ['run', 'state', 'trigger', 'attempts', 'input', 'took', 'freshness', 'ended', 'error']
  return renderColumns([
    header,
    ...runs.map((run) => [
      run.id,
      run.state,
      run.full ? `${run.trigger}, full` : run.trigger,
      String(run.attempt),
      inputText(run),
      run.startedAt && run.endedAt ? seconds(Date.parse(run.endedAt) - Date.parse(run.startedAt)) : '-',
      freshness(run) ?? '-',
      ago(run.endedAt, now),
      run.error ? `${run.error.code}: ${run.error.message}`.slice(0, 160) : '',
    ]),
  ])
}

/** From the commit event of its newest input to its end. */
function freshness({ state, endedAt, newestInputAt }: Run): string | null {
  if (state !== 'succeeded' || endedAt === null || newestInputAt === null) return null
  return seconds(Date.parse(endedAt) - Date.parse(newestInputAt))
}

const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`

function ago(at: string | null, now: number): string {
  return at === null ? '-' : `${Math.max(0, Math.round((now - Date.parse(at)) / 1000))} s ago`
}
