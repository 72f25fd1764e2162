import { describeError, isMeshError } from '@mesh/shared/core/errors'
import type { ReplayJob, ReplayProgress } from '@mesh/shared/core/replay-api'
import { DEFAULT_RETRY, retryDelayMs } from '@mesh/shared/core/retry-policy'
import { enricherGroup, landingGroup, silverGroup, stateTopic } from '@mesh/shared/core/topics'
import { type CandidateBuilderPorts, createCandidateBuilder } from './candidate-builder.ts'
import type { EmissionState } from './emission.ts'
import { advanceJob, emittingProgress } from './job-state.ts'
import type { GroupPositions, Removal } from './ports.ts'
import { rfc3339 } from './ports.ts'
import { readPositions } from './read-positions.ts'
import { assessReadiness, candidateLag, nothingParkedBelow, type ReadinessTarget } from './readiness.ts'
import { createTokenBucket, type RateLimit, UNLIMITED } from './token-bucket.ts'
import { liveRefinedTopic } from './topic-specs.ts'
import { cancelCandidate } from './versions-transitions.ts'

export type RunnerPorts = CandidateBuilderPorts & {
  readonly groups: GroupPositions
  readonly removal: Removal
  /** In [0, 1): spreads retries. */
  readonly random: () => number
  readonly events: RunnerEvents
}

export type RunnerEvents = {
  entered(job: ReplayJob): void
  emitted(job: ReplayJob, records: number): void
  failing(job: ReplayJob, error: unknown): void
  recovered(job: ReplayJob): void
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
  /** Failures in a row without anything achieved in between. */
  failures: number
  publishedAt: number
  target: ReadinessTarget | null
  /** Raw offsets below which nothing may be parked any more before the candidate is ready; frozen at the first reach. */
  unparkedBelow: readonly number[] | null
  caughtUpAsOf: number | null
  step: AbortController
}

const PUBLISH_MS = 1000
/** Weight of the newest second in the shown rate. */
const RATE_WEIGHT = 0.3

/** Drives jobs through their states. Every step may be repeated: a restart takes a job up where its durable state says. */
export function createReplayRunner(ports: RunnerPorts, settings: RunnerSettings): ReplayRunner {
  const { jobs, versions, clock, events } = ports
  const builder = createCandidateBuilder(ports)
  const running = new Map<string, Running>()

  const now = (): string => rfc3339(clock.now())

  async function run(id: string, stop: AbortSignal): Promise<void> {
    const of = runningOf(id)
    while (!stop.aborted) {
      const job = jobs.get(id)!
      if (job.cleaned) break
      of.step = new AbortController()
      const signal = AbortSignal.any([stop, of.step.signal])
      try {
        await takeStep(job, signal)
        recovered(job)
      } catch (error) {
        if (signal.aborted || jobs.get(id)!.state !== job.state) continue
        failed(job, error)
        await clock.wait(retryDelayMs(DEFAULT_RETRY, of.failures, ports.random())!, signal)
      }
    }
    running.delete(id)
  }

  /** A failure is told once, however often it is met again. */
  function failed(job: ReplayJob, error: unknown): void {
    const of = runningOf(job.id)
    const code = isMeshError(error) ? error.code : 'MESH_INTERNAL'
    if (of.error?.code !== code) events.failing(job, error)
    of.error = { code, message: describeError(error) }
    of.failures++
  }

  function recovered(job: ReplayJob): void {
    const of = runningOf(job.id)
    if (of.error !== null) events.recovered(job)
    of.error = null
    of.failures = 0
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

  async function prepare(job: ReplayJob): Promise<void> {
    await builder.prepare(job)
    await enter(job, 'PREPARED')
  }

  async function emit({ id }: ReplayJob, signal: AbortSignal): Promise<void> {
    const optionsOf = (job: ReplayJob) => ({ limit: limitOf(job), signal, onChunk: progressReporter(job) })
    if (await builder.emit(id, optionsOf)) await enter(jobs.get(id)!, 'DRAINED')
  }

  function progressReporter(job: ReplayJob): (state: EmissionState) => Promise<void> {
    let reported = 0
    let rate = { perSecond: 0, records: 0, at: clock.now() }
    return async function report(state) {
      const at = clock.now()
      const records = state.emitted.reduce((sum, count) => sum + count, 0)
      events.emitted(job, records - reported)
      reported = records
      if (at - rate.at >= PUBLISH_MS) {
        const newest = ((records - rate.records) * 1000) / (at - rate.at)
        const perSecond = rate.perSecond === 0 ? newest : rate.perSecond * (1 - RATE_WEIGHT) + newest * RATE_WEIGHT
        rate = { perSecond, records, at }
      }
      recovered(job)
      await publish(job.id, emittingProgress(job, { ...state, perSecond: rate.perSecond }))
    }
  }

  /** One look at the candidate's groups. READY is entered once; after that the looks keep `caughtUpAsOf` fresh. */
  async function watch(job: ReplayJob, signal: AbortSignal): Promise<void> {
    const of = runningOf(job.id)
    if (versions.get(job.stream)!.live === job.version) return enter(job, 'CUTOVER')
    const positions = await readPositions(ports, job)
    const { target, reached } = assessReadiness(of.target, positions, clock.now())
    of.target = reached ? null : target
    if (reached) {
      of.caughtUpAsOf = target.takenAt
      of.unparkedBelow ??= target.live
    }
    await publish(job.id, { ...jobs.get(job.id)!.progress, etaSeconds: 0, candidateLag: candidateLag(positions) })
    const unparked = of.unparkedBelow !== null && nothingParkedBelow(of.unparkedBelow, positions)
    if (reached && unparked && job.state === 'DRAINED') return enter(job, 'READY')
    await clock.wait(settings.readinessIntervalMs, signal)
  }

  /**
   * The topics that nobody needs any more go, after their readers had time to see the new record of `mesh.versions`; the one that
   * is live now no longer keeps everything.
   */
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
    if (!cancelled) {
      const { contract } = await ports.bundles.load(job.plan.bundle)
      await ports.topics.configure(liveRefinedTopic(contract, job.version))
    }
    const own = [job.refinedTopic, stateTopic(job.stream, job.version)]
    await ports.removal.deleteTopics(cancelled ? [job.replayTopic, ...own] : [job.replayTopic])
    await jobs.update(job.id, (current) => ({ ...current, error: null, cleaned: true }))
  }

  /** Progress is shown at once and published at most once a second. */
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
      failures: 0,
      publishedAt: 0,
      target: null,
      unparkedBelow: null,
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
