import { MeshError } from '@mesh/shared/core/errors'
import type { ReplayJob, ReplayPlan, ReplayRequest } from '@mesh/shared/core/replay-api'
import { rawTopic } from '@mesh/shared/core/topics'
import { liveVersion, newestBundle, type StreamVersions } from '@mesh/shared/core/versions'
import { refusedForCandidate } from './contract-changes.ts'
import { advanceJob, highestVersion, isActive, newJob } from './job-state.ts'
import { boundTime, gapError, makePlan, type PartitionFacts } from './plan.ts'
import type {
  Bundles,
  Clock,
  GroupPositions,
  History,
  JobsStore,
  LakePartition,
  Topics,
  VersionsStore,
} from './ports.ts'
import { rfc3339 } from './ports.ts'
import { readPositions } from './read-positions.ts'
import { candidateLag, describeLag, enricherReached, nothingParkedBelow } from './readiness.ts'
import type { ReplayRunner, RunnerEvents } from './replay-runner.ts'
import { createSequencer } from './sequencer.ts'
import { cancelCandidate, cutOver } from './versions-transitions.ts'

/** What the HTTP API asks for. */
export type Replays = {
  list(): readonly ReplayJob[]
  /** @throws MeshError MESH_REPLAY_UNKNOWN */
  get(id: string): ReplayJob
  /** Plans, makes the plan durable and starts. @throws MESH_REPLAY_INVALID, MESH_REPLAY_GAP, MESH_REPLAY_BUSY, MESH_STREAM_UNKNOWN */
  start(request: ReplayRequest): Promise<ReplayJob>
  /** Idempotent. @throws MESH_REPLAY_NOT_READY with the numbers */
  cutOver(id: string): Promise<ReplayJob>
  /** Idempotent; takes effect at once, topics and groups go a little later. */
  cancel(id: string): Promise<ReplayJob>
}

export type ReplaysPorts = {
  readonly versions: VersionsStore
  readonly jobs: JobsStore
  readonly bundles: Bundles
  readonly topics: Topics
  readonly history: History
  readonly groups: GroupPositions
  readonly clock: Clock
  readonly runner: ReplayRunner
  readonly newId: () => string
  /** Sets a runner on the job. */
  readonly launch: (id: string) => void
  readonly events: Pick<RunnerEvents, 'entered'>
}

export type ReplaysSettings = {
  readonly cutoverWaitMs: number
  readonly readyAgeMs: number
}

const LOOK_AGAIN_MS = 200

export function createReplays(ports: ReplaysPorts, settings: ReplaysSettings): Replays {
  const { versions, jobs, clock, runner } = ports
  // Starting, cutting over and cancelling exclude one another, so that no two of them decide on the same state.
  const inSequence = createSequencer()
  const now = (): string => rfc3339(clock.now())

  function known(id: string): ReplayJob {
    const job = jobs.get(id)
    if (!job) throw new MeshError('MESH_REPLAY_UNKNOWN', `there is no replay ${id}`)
    return job
  }

  async function start(request: ReplayRequest): Promise<ReplayJob> {
    const state = versions.get(request.stream)
    if (!state) throw new MeshError('MESH_STREAM_UNKNOWN', `stream ${request.stream} is not applied`)
    refuseBusy(request.stream)
    const bundle = await checkBundle(state, request.bundle)
    const plan = await planOf(state, request, bundle)
    return inSequence(async () => {
      refuseBusy(request.stream)
      const used = versions.get(request.stream)!.versions.map((v) => v.version)
      const job = newJob({
        id: ports.newId(),
        stream: request.stream,
        version: Math.max(...used, highestVersion(jobs.all(), request.stream)) + 1,
        plan,
        recordsPerSecond: request.recordsPerSecond ?? null,
        at: now(),
      })
      await jobs.add(job)
      ports.launch(job.id)
      return job
    })
  }

  function refuseBusy(stream: string): void {
    const active = jobs.all().find((job) => job.stream === stream && isActive(job))
    if (active) throw new MeshError('MESH_REPLAY_BUSY', `replay ${active.id} of ${stream} is ${active.state}`)
    const candidate = versions.get(stream)?.versions.find((v) => v.status === 'candidate')
    if (candidate) throw new MeshError('MESH_REPLAY_BUSY', `version ${candidate.version} of ${stream} is a candidate`)
  }

  /** The bundle the candidate will run. A contract over another raw topic is refused. */
  async function checkBundle(state: StreamVersions, asked: string | undefined): Promise<string> {
    const bound = newestBundle(liveVersion(state)).hash
    if (asked === undefined || asked === bound) return bound
    const { contract } = await ports.bundles.load(asked)
    if (contract.name !== state.stream) {
      throw new MeshError(
        'MESH_REPLAY_INVALID',
        `bundle ${asked} is of stream ${contract.name}, not of ${state.stream}`,
      )
    }
    const unknown = contract.refine.joins.find((join) => !versions.get(join.stream))
    if (unknown) {
      throw new MeshError('MESH_STREAM_JOIN_UNKNOWN', `${state.stream} joins ${unknown.stream}, which is not applied`)
    }
    const [refused] = refusedForCandidate((await ports.bundles.load(bound)).contract, contract)
    if (refused) throw refused
    return asked
  }

  async function planOf(state: StreamVersions, request: ReplayRequest, bundle: string): Promise<ReplayPlan> {
    const topic = rawTopic(state.stream)
    const rawTopicId = state.rawTopicId
    if ((await ports.topics.ids([topic])).get(topic) !== rawTopicId) {
      throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', `${topic} is not the topic that was applied`, { place: topic })
    }
    const fromTime = boundTime('from', request.from)
    const toTime = boundTime('to', request.to)
    const offsets = await ports.topics.offsets(topic)
    const inLog = async (time: number | null) => (time === null ? null : ports.history.logOffsetsAtTime(topic, time))
    const [fromInLog, toInLog] = await Promise.all([inLog(fromTime), inLog(toTime)])
    const facts: PartitionFacts[] = []
    // What lies behind an open transaction is no history yet, and a reader would wait for its end.
    for (const { partition, logStartOffset, lastStableOffset: end } of offsets) {
      const id = { stream: state.stream, topicId: rawTopicId, partition }
      const lake = await ports.history.lakeCover(id)
      const atTime = async (time: number | null, log: ReadonlyMap<number, number> | null): Promise<number | null> =>
        time === null
          ? null
          : ((await firstInLake(id, { time, logStartOffset, lake })) ?? Math.min(log!.get(partition) ?? end, end))
      const fromAtTime = await atTime(fromTime, fromInLog)
      const toAtTime = await atTime(toTime, toInLog)
      facts.push({ partition, logStartOffset, end, lake, fromAtTime, toAtTime })
    }
    return makePlan(request, facts, { rawTopicId, bundle })
  }

  /** The earliest offset with a timestamp at or after `time` among those that have left the log; null when there is none. */
  async function firstInLake(
    id: LakePartition,
    of: { readonly time: number; readonly logStartOffset: number; readonly lake: PartitionFacts['lake'] },
  ): Promise<number | null> {
    const { time, logStartOffset, lake } = of
    if (logStartOffset === 0) return null
    for await (const batch of ports.history.readLake(id, { from: 0, to: logStartOffset })) {
      const found = batch.records.find((record) => record.timestamp >= time)
      if (found) return found.offset
    }
    if (lake.nextOffset >= logStartOffset) return null
    const gap = { partition: id.partition, from: lake.nextOffset, to: logStartOffset, missingFrom: 'lake' as const }
    throw gapError([gap])
  }

  async function cutOverWhenReady(id: string): Promise<ReplayJob> {
    const job = known(id)
    if (job.state === 'CUTOVER') return job
    if (!isActive(job)) throw new MeshError('MESH_REPLAY_INVALID', `replay ${id} is ${job.state}`)
    await waitUntilReady(job)
    return inSequence(async () => {
      const current = known(id)
      if (!isActive(current) && current.state !== 'CUTOVER') {
        throw new MeshError('MESH_REPLAY_INVALID', `replay ${id} is ${current.state}`)
      }
      await versions.update(job.stream, (state) => cutOver(state!, job.version, now()))
      const done = await jobs.update(id, (active) => advanceJob(active, 'CUTOVER', now()))
      ports.events.entered(done)
      runner.interrupt(id)
      return done
    })
  }

  /**
   * Ready: the candidate's enricher reaches where the live one is at this moment, neither has anything parked below that, and its sinks had caught up with it no longer
   * ago than `readyAgeMs` (they write in intervals, so under traffic they are never at the very end).
   */
  async function waitUntilReady(job: ReplayJob): Promise<void> {
    const deadline = clock.now() + settings.cutoverWaitMs
    if (job.state !== 'DRAINED' && job.state !== 'READY') {
      throw new MeshError(
        'MESH_REPLAY_NOT_READY',
        `replay ${job.id} is ${job.state}: ${describeProgress(runner.view(job))}`,
      )
    }
    let live: readonly number[] | null = null
    for (;;) {
      const positions = await readPositions(ports, job)
      live ??= positions.live
      const caughtUpAsOf = runner.caughtUpAsOf(job.id)
      const fresh = caughtUpAsOf !== null && clock.now() - caughtUpAsOf <= settings.readyAgeMs
      const reached = enricherReached(live, positions.candidate) && nothingParkedBelow(live, positions)
      if (fresh && reached) return
      if (clock.now() >= deadline) {
        throw new MeshError('MESH_REPLAY_NOT_READY', `replay ${job.id}: ${describeLag(candidateLag(positions))}`)
      }
      await clock.wait(LOOK_AGAIN_MS)
    }
  }

  async function cancel(id: string): Promise<ReplayJob> {
    return inSequence(async () => {
      const job = known(id)
      if (job.state === 'CANCELLED') return job
      if (versions.get(job.stream)!.live === job.version) {
        throw new MeshError('MESH_REPLAY_INVALID', `replay ${id} was cut over: version ${job.version} is live`)
      }
      const cancelled = await jobs.update(id, (active) => advanceJob(active, 'CANCELLED', now()))
      ports.events.entered(cancelled)
      runner.interrupt(id)
      await versions.update(job.stream, (state) => cancelCandidate(state!, job.version, now()))
      return cancelled
    })
  }

  return {
    list: () => jobs.all().map((job) => runner.view(job)),
    get: (id) => runner.view(known(id)),
    start,
    cutOver: cutOverWhenReady,
    cancel,
  }
}

function describeProgress({ progress }: ReplayJob): string {
  return progress.partitions
    .map(({ partition, emitted, total }) => `partition ${partition} ${emitted} records of ${total} offsets emitted`)
    .join('; ')
}
