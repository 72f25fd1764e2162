import { MeshError } from '@mesh/shared/core/errors'
import type {
  PartitionProgress,
  ReplayJob,
  ReplayPlan,
  ReplayProgress,
  ReplayState,
} from '@mesh/shared/core/replay-api'
import { refinedTopic, replayTopic } from '@mesh/shared/core/topics'

/** What may follow a state. A cutover that finds the job DRAINED is refused before, by its readiness. */
const NEXT: Readonly<Record<ReplayState, readonly ReplayState[]>> = {
  PLANNED: ['PREPARED', 'CANCELLED'],
  PREPARED: ['RUNNING', 'CANCELLED'],
  RUNNING: ['DRAINED', 'CANCELLED'],
  DRAINED: ['READY', 'CUTOVER', 'CANCELLED'],
  READY: ['CUTOVER', 'CANCELLED'],
  CUTOVER: [],
  CANCELLED: [],
}

/** An active job owns its stream's candidate. */
export const isActive = (job: ReplayJob): boolean => NEXT[job.state].length > 0

export function newJob(options: {
  readonly id: string
  readonly stream: string
  readonly version: number
  readonly plan: ReplayPlan
  readonly recordsPerSecond: number | null
  readonly at: string
}): ReplayJob {
  const { id, stream, version, plan, recordsPerSecond, at } = options
  const changeover = plan.partitions.map((partition) => partition.to)
  return {
    id,
    stream,
    state: 'PLANNED',
    version,
    plan,
    changeover,
    replayTopic: replayTopic(stream, id),
    refinedTopic: refinedTopic(stream, version),
    recordsPerSecond,
    progress: {
      partitions: plan.partitions.map(({ partition, from, to }) => ({
        partition,
        position: from,
        emitted: 0,
        total: to - from,
      })),
      recordsPerSecond: 0,
      etaSeconds: null,
      candidateLag: null,
    },
    error: null,
    cleaned: false,
    createdAt: at,
    updatedAt: at,
  }
}

/**
 * The job in its next state; the same object when it is there already.
 * @throws MeshError MESH_REPLAY_INVALID when the step is not allowed: the job was cancelled or cut over meanwhile.
 */
export function advanceJob(job: ReplayJob, state: ReplayState, at: string): ReplayJob {
  if (job.state === state) return job
  if (!NEXT[job.state].includes(state)) {
    throw new MeshError('MESH_REPLAY_INVALID', `replay ${job.id} is ${job.state} and cannot become ${state}`)
  }
  return { ...job, state, error: null, updatedAt: at }
}

/** Moves the changeover on, before it is final: more history goes through the replay topic. */
export function extendJob(job: ReplayJob, changeover: readonly number[], at: string): ReplayJob {
  if (job.state !== 'RUNNING' || changeover.some((offset, p) => offset < job.changeover[p]!)) {
    throw new Error(`replay ${job.id}: the changeover cannot move to [${changeover.join()}]`)
  }
  return { ...job, changeover, updatedAt: at }
}

/** Highest version number any job of the stream was given; cancelled ones count, so that no number is given twice. */
export function highestVersion(jobs: Iterable<ReplayJob>, stream: string): number {
  let highest = 0
  for (const job of jobs) if (job.stream === stream) highest = Math.max(highest, job.version)
  return highest
}

/** Progress of emitting, from positions per partition and the rate of late. */
export function emittingProgress(
  job: ReplayJob,
  at: { readonly positions: readonly number[]; readonly emitted: readonly number[]; readonly perSecond: number },
): ReplayProgress {
  const partitions = job.plan.partitions.map(
    ({ partition, from }, p): PartitionProgress => ({
      partition,
      position: at.positions[p]!,
      emitted: at.emitted[p]!,
      total: job.changeover[p]! - from,
    }),
  )
  const left = partitions.reduce((sum, { position }, p) => sum + job.changeover[p]! - position, 0)
  const etaSeconds = left === 0 ? 0 : at.perSecond > 0 ? Math.ceil(left / at.perSecond) : null
  return { partitions, recordsPerSecond: Math.round(at.perSecond), etaSeconds, candidateLag: null }
}
