import type { HighestSrc } from '@mesh/shared/core/coordinate'
import type { InputKey, InputPosition, InputRange, Run } from '@mesh/shared/core/runs'

/** Rows of one sequence of a landing table or of silver: those after (afterOffset, afterIndex), up to (uptoOffset, uptoIndex). */
export type RowRange = {
  readonly lane: string
  readonly topicId: string
  readonly partition: number
  readonly afterOffset: number
  readonly afterIndex: number
  readonly uptoOffset: number
  readonly uptoIndex: number
}

export type StreamInput = {
  readonly version: number
  /** Landing: the rows of this run. */
  readonly rows: readonly RowRange[]
  /** Landing: all rows that the run may read, from the start. */
  readonly asOf: readonly RowRange[]
}

/** What a job is given: the body of an HTTP call, the file that MESH_INPUT names, the var `mesh` of dbt, Airflow's conf. */
export type RunInput = {
  readonly runId: string
  readonly executionId: string
  readonly job: string
  readonly attempt: number
  readonly trigger: Run['trigger']
  readonly full: boolean
  readonly candidate: boolean
  readonly scheduledAt: string | null
  readonly vector: readonly InputRange[]
  readonly asOf: readonly InputPosition[]
  readonly streams: Readonly<Record<string, StreamInput>>
}

export function runInput(run: Run, executionId: string): RunInput {
  const names = [...new Set([...Object.keys(run.streams), ...run.vector.map(({ stream }) => stream)])].sort()
  const streams = names.map((stream) => [stream, streamInput(run, stream)] as const)
  const { id, job, attempt, trigger, full, candidate, scheduledAt, vector, asOf } = run
  const head = { runId: id, executionId, job, attempt, trigger, full, candidate, scheduledAt }
  return { ...head, vector, asOf: ofRun(run, asOf), streams: Object.fromEntries(streams) }
}

function streamInput(run: Run, stream: string): StreamInput {
  const own = (keys: InputKey): boolean => keys.stream === stream && keys.layer === 'landing'
  const version = run.candidate
    ? (run.vector.find((range) => range.stream === stream)?.version ?? 1)
    : (run.streams[stream]?.version ?? 1)
  return {
    version,
    rows: run.vector.filter(own).flatMap(({ after, upTo }) => rowRanges(after, upTo)),
    asOf: ofRun(run, run.asOf)
      .filter(own)
      .flatMap(({ highest }) => rowRanges({}, highest)),
  }
}

/** A run over live versions reads nothing of candidates, and the other way round. */
function ofRun(run: Run, asOf: readonly InputPosition[]): readonly InputPosition[] {
  const candidates = new Map(run.vector.map(({ stream, version }) => [stream, version]))
  return asOf.filter(({ stream, version, layer }) =>
    layer === 'bronze' ? true : version === (run.candidate ? candidates.get(stream) : run.streams[stream]?.version),
  )
}

/** Sequence keys are `lane;topicId;partition`. */
function rowRanges(after: HighestSrc, upTo: HighestSrc): RowRange[] {
  return Object.entries(upTo).flatMap(([sequence, end]) => {
    const start = after[sequence] ?? { offset: -1, index: 0 }
    if (start.offset === end.offset && start.index === end.index) return []
    const [lane = '', topicId = '', partition = ''] = sequence.split(';')
    const rows = { afterOffset: start.offset, afterIndex: start.index, uptoOffset: end.offset, uptoIndex: end.index }
    return [{ lane, topicId, partition: Number(partition), ...rows }]
  })
}
