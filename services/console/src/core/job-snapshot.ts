import type { Run, RunsRecord } from '@mesh/shared/core/runs'
import type { JobSnapshot, RunSnapshot } from './snapshot-types.ts'

const isOpen = ({ state }: Run): boolean => state === 'planned' || state === 'running' || state === 'failed'

/** Jobs by name, from the records of `mesh.runs`. */
export function jobSnapshots(records: Iterable<RunsRecord>): JobSnapshot[] {
  const jobs = new Map<string, Run[]>()
  for (const record of records) {
    if (record.kind !== 'run') continue
    jobs.set(record.job, [...(jobs.get(record.job) ?? []), record])
  }
  return [...jobs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([job, runs]) => {
      const bySeq = runs.toSorted((a, b) => a.seq - b.seq)
      const last = bySeq.findLast((run) => ['succeeded', 'dead', 'stopped'].includes(run.state))
      return {
        job,
        engine: bySeq.at(-1)!.engine,
        open: bySeq.filter(isOpen).map(runSnapshot),
        last: last ? runSnapshot(last) : null,
        succeeded: bySeq.filter(({ state }) => state === 'succeeded').length,
        dead: bySeq.filter(({ state }) => state === 'dead').map(({ id }) => id),
      }
    })
}

function runSnapshot(run: Run): RunSnapshot {
  const { id, state, trigger, full, attempt, vector, startedAt, endedAt, newestInputAt, error } = run
  const between = (from: string | null): number | null =>
    from === null || endedAt === null || state !== 'succeeded' ? null : Date.parse(endedAt) - Date.parse(from)
  return {
    id,
    state,
    trigger,
    full,
    attempt,
    offsets: vector.reduce((sum, { from, to }) => sum + to - from, 0),
    input: inputText(run),
    freshnessMs: between(newestInputAt),
    tookMs: between(startedAt),
    error: error === null ? null : `${error.code}: ${error.message}`,
    at: endedAt ?? startedAt ?? run.plannedAt,
  }
}

function inputText({ vector }: Run): string {
  const streams = new Map<string, { offsets: number; to: number }>()
  for (const { layer, stream, version, from, to } of vector) {
    const name = `${layer === 'landing' ? '' : `${layer} `}${stream} v${version}`
    const sum = streams.get(name) ?? { offsets: 0, to: 0 }
    streams.set(name, { offsets: sum.offsets + to - from, to: sum.to + to })
  }
  return [...streams].map(([name, { offsets, to }]) => `${name} +${offsets} to ${to}`).join(', ') || 'nothing new'
}
