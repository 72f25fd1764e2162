import { describeError, isMeshError, MeshError } from '@mesh/shared/core/errors'
import type { ReplayJob, ReplayProgress } from '@mesh/shared/core/replay-api'
import { DEFAULT_RETRY, retryDelayMs } from '@mesh/shared/core/retry-policy'
import { enricherGroup, landingGroup, rawTopic, silverGroup } from '@mesh/shared/core/topics'
import { findVersion } from '@mesh/shared/core/versions'
import type { SchemaRegistry } from '@mesh/shared/schema/port'
import { registerSchema, subjectOf, unboundBundle } from './bind.ts'
import { type EmissionPorts, type EmissionState, emitHistory } from './emission.ts'
import { advanceJob, emittingProgress, extendJob, isActive } from './job-state.ts'
import { agedChangeover } from './plan.ts'
import type { Bundles, Clock, GroupPositions, JobsStore, Removal, VersionsStore } from './ports.ts'
import { rfc3339 } from './ports.ts'
import { readPositions } from './read-positions.ts'
import { assessReadiness, candidateLag, type ReadinessTarget } from './readiness.ts'
import { createTokenBucket, type RateLimit, UNLIMITED } from './token-bucket.ts'
import { candidateTopics } from './topic-specs.ts'
import { addCandidate, cancelCandidate, finishReplay, moveChangeover } from './versions-transitions.ts'

export type RunnerPorts = EmissionPorts & {
  readonly jobs: JobsStore
  readonly versions: VersionsStore
  readonly bundles: Bundles
  readonly registry: SchemaRegistry
  readonly groups: GroupPositions
  readonly removal: Removal
  readonly clock: Clock
  /** In [0, 1): spreads retries. */
  readonly random: () => number
  readonly events: RunnerEvents
}

export type RunnerEvents = {
  entered(job: ReplayJob): void
  emitted(job: ReplayJob, records: number): void
  failing(job: ReplayJob, error: unknown): void
}

export type RunnerSettings = {
  readonly readinessIntervalMs: number
  /** How long readers get to leave the topics of a finished job before they are deleted. */
  readonly topicLingerMs: number
}

export type ReplayRunner = {
  /** Works on a job, whatever its state, until it is cleaned up. Returns when the signal is aborted. */
  run(id: string, signal: AbortSignal): Promise<void>
  /** Ends what the job is doing: its state was changed by a caller. */
  interrupt(id: string): void
  /** The job with its latest progress and failure, which are published less often. */
  view(job: ReplayJob): ReplayJob
  /** Epoch ms of the last moment whose live positions the candidate and its sinks have since reached; null = none yet. */
  caughtUpAsOf(id: string): number | null
}

type Running = {
  progress: ReplayProgress | null
  error: ReplayJob['error']
  publishedAt: number
  target: ReadinessTarget | null
  caughtUpAsOf: number | null
  step: AbortController
}

const PUBLISH_MS = 1000
const AGE_CHECK_MS = 60_000
/** Weight of the newest second in the shown rate. */
const RATE_WEIGHT = 0.3

/** Drives jobs through their states. Every step may be repeated: a restart takes a job up where its durable state says. */
export function createReplayRunner(ports: RunnerPorts, settings: RunnerSettings): ReplayRunner {
  const { jobs, versions, clock, events } = ports
  const running = new Map<string, Running>()

  const now = (): string => rfc3339(clock.now())

  async function run(id: string, stop: AbortSignal): Promise<void> {
    const of = runningOf(id)
    let attempt = 0
    while (!stop.aborted) {
      const job = jobs.get(id)!
      if (job.cleaned) break
      of.step = new AbortController()
      const signal = AbortSignal.any([stop, of.step.signal])
      try {
        await takeStep(job, signal)
        attempt = 0
        of.error = null
      } catch (error) {
        if (signal.aborted || jobs.get(id)!.state !== job.state) continue
        attempt++
        of.error = { code: isMeshError(error) ? error.code : 'MESH_INTERNAL', message: describeError(error) }
        events.failing(job, error)
        await clock.wait(retryDelayMs(DEFAULT_RETRY, attempt, ports.random())!, signal)
      }
    }
    running.delete(id)
  }

  function takeStep(job: ReplayJob, signal: AbortSignal): Promise<void> {
    switch (job.state) {
      case 'PLANNED':
        return prepare(job)
      case 'PREPARED':
        return enter(job, 'RUNNING')
      case 'RUNNING':
        return emit(job, signal)
      case 'DRAINED':
      case 'READY':
        return watch(job, signal)
      case 'CUTOVER':
      case 'CANCELLED':
        return clean(job, signal)
    }
  }

  async function enter(job: ReplayJob, state: ReplayJob['state']): Promise<void> {
    const { progress } = runningOf(job.id)
    const next = await jobs.update(job.id, (current) =>
      advanceJob(progress ? { ...current, progress } : current, state, now()),
    )
    events.entered(next)
  }

  /** Topics, schema, then the candidate's record: from then on services know the version. */
  async function prepare(job: ReplayJob): Promise<void> {
    const bundle = await ports.bundles.load(job.plan.bundle)
    await ports.topics.ensure(candidateTopics(bundle.contract, job.version, job.id))
    const schemaId = await registerSchema(ports.registry, subjectOf(job.stream, job.version), bundle.refinedAvsc)
    const topicId = (await ports.topics.ids([job.replayTopic])).get(job.replayTopic)
    if (!topicId) throw new MeshError('MESH_KAFKA_UNAVAILABLE', `${job.replayTopic} is not shown after its creation`)
    await versions.update(job.stream, (state) => {
      // A job that was cancelled meanwhile must not bring its candidate back.
      if (!isActive(jobs.get(job.id)!)) throw new Error(`replay ${job.id} is no longer active`)
      return addCandidate(state!, {
        version: job.version,
        bundle: unboundBundle(bundle, schemaId),
        start: job.plan.partitions.map((partition) => partition.from),
        replay: { job: job.id, topic: job.replayTopic, topicId, ends: null, changeover: job.changeover },
        at: now(),
      })
    })
    await enter(job, 'PREPARED')
  }

  async function emit(job: ReplayJob, signal: AbortSignal): Promise<void> {
    const replay = findVersion(versions.get(job.stream)!, job.version)?.replay
    if (!replay) throw new Error(`stream ${job.stream} has no candidate ${job.version}`)
    if (replay.ends === null) {
      await checkReplayTopic(job, replay.topicId)
      const retentionMs = (await ports.bundles.load(job.plan.bundle)).contract.raw.retentionMs
      const onChunk = progressReporter(job, () => keepChangeoverYoung(job.id, retentionMs))
      await emitHistory(job, ports, { limit: limitOf(job), signal, onChunk })
      await keepChangeoverYoung(job.id, retentionMs)
      const { changeover } = jobs.get(job.id)!
      // The changeover moved on: the next step emits what was added.
      if (changeover.some((offset, p) => offset !== job.changeover[p])) return
      const ends = (await ports.topics.offsets(job.replayTopic)).map((partition) => partition.highWatermark)
      await versions.update(job.stream, (state) => {
        const moved = moveChangeover(state!, job.version, { changeover, at: now() })
        return finishReplay(moved, job.version, { ends, at: now() })
      })
    }
    await enter(job, 'DRAINED')
  }

  async function keepChangeoverYoung(id: string, retentionMs: number): Promise<void> {
    const job = jobs.get(id)!
    const topic = rawTopic(job.stream)
    if (retentionMs <= 0) return
    const young = await ports.history.logOffsetsAtTime(topic, clock.now() - retentionMs / 2)
    const highWatermarks = (await ports.topics.offsets(topic)).map((partition) => partition.highWatermark)
    const youngFrom = highWatermarks.map((end, p) => young.get(p) ?? end)
    const moved = agedChangeover(job.changeover, youngFrom, highWatermarks)
    if (moved === null) return
    await jobs.update(id, (current) => extendJob(current, moved, now()))
    await versions.update(job.stream, (state) => moveChangeover(state!, job.version, { changeover: moved, at: now() }))
  }

  async function checkReplayTopic(job: ReplayJob, topicId: string): Promise<void> {
    if ((await ports.topics.ids([job.replayTopic])).get(job.replayTopic) === topicId) return
    throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', `${job.replayTopic} is not the topic that the job made`, {
      place: job.replayTopic,
    })
  }

  /** Publishes progress at most once a second, and keeps the changeover young during a long run. */
  function progressReporter(job: ReplayJob, checkAge: () => Promise<void>): (state: EmissionState) => Promise<void> {
    let perSecond = 0
    let counted = 0
    let countedAt = clock.now()
    let agedAt = clock.now()
    return async function report(state) {
      const at = clock.now()
      const total = state.emitted.reduce((sum, records) => sum + records, 0)
      if (at - countedAt >= PUBLISH_MS) {
        const rate = ((total - counted) * 1000) / (at - countedAt)
        perSecond = perSecond === 0 ? rate : perSecond * (1 - RATE_WEIGHT) + rate * RATE_WEIGHT
        events.emitted(job, total - counted)
        counted = total
        countedAt = at
      }
      await publish(job.id, emittingProgress(job, { ...state, perSecond }))
      if (at - agedAt < AGE_CHECK_MS) return
      agedAt = at
      await checkAge()
    }
  }

  /** One look at the candidate's groups. READY is entered once; after that the looks keep `caughtUpAsOf` fresh. */
  async function watch(job: ReplayJob, signal: AbortSignal): Promise<void> {
    const of = runningOf(job.id)
    if (versions.get(job.stream)!.live === job.version) return enter(job, 'CUTOVER')
    const positions = await readPositions(ports, job)
    const { target, reached } = assessReadiness(of.target, positions, clock.now())
    of.target = reached ? null : target
    if (reached) of.caughtUpAsOf = target.takenAt
    await publish(job.id, { ...jobs.get(job.id)!.progress, etaSeconds: 0, candidateLag: candidateLag(positions) })
    if (reached && job.state === 'DRAINED') return enter(job, 'READY')
    await clock.wait(settings.readinessIntervalMs, signal)
  }

  /** The topics that nobody needs any more go, after their readers had time to see the new record of `mesh.versions`. */
  async function clean(job: ReplayJob, signal: AbortSignal): Promise<void> {
    const cancelled = job.state === 'CANCELLED'
    if (cancelled) await versions.update(job.stream, (state) => cancelCandidate(state!, job.version, now()))
    await clock.wait(Math.max(0, Date.parse(job.updatedAt) + settings.topicLingerMs - clock.now()), signal)
    if (signal.aborted) return
    if (cancelled) {
      const { stream, version } = job
      // A group that still has members refuses: the step is tried again, and the topics stay until its readers have left.
      await ports.removal.deleteGroups([
        enricherGroup(stream, version),
        silverGroup(stream, version),
        landingGroup(stream, version),
      ])
    }
    await ports.removal.deleteTopics(cancelled ? [job.replayTopic, job.refinedTopic] : [job.replayTopic])
    await jobs.update(job.id, (current) => ({ ...current, error: null, cleaned: true }))
  }

  async function publish(id: string, progress: ReplayProgress): Promise<void> {
    const of = runningOf(id)
    of.progress = progress
    const at = clock.now()
    if (at - of.publishedAt < PUBLISH_MS) return
    of.publishedAt = at
    await jobs.update(id, (current) => {
      const same = JSON.stringify([progress, of.error]) === JSON.stringify([current.progress, current.error])
      return same ? current : { ...current, progress, error: of.error }
    })
  }

  function limitOf(job: ReplayJob): RateLimit {
    return job.recordsPerSecond === null ? UNLIMITED : createTokenBucket(job.recordsPerSecond, clock)
  }

  function runningOf(id: string): Running {
    const known = running.get(id)
    if (known) return known
    const started: Running = {
      progress: null,
      error: null,
      publishedAt: 0,
      target: null,
      caughtUpAsOf: null,
      step: new AbortController(),
    }
    running.set(id, started)
    return started
  }

  return {
    run,
    interrupt: (id) => running.get(id)?.step.abort(),
    view(job) {
      const of = running.get(job.id)
      return of ? { ...job, progress: of.progress ?? job.progress, error: of.error ?? job.error } : job
    },
    caughtUpAsOf: (id) => running.get(id)?.caughtUpAsOf ?? null,
  }
}
