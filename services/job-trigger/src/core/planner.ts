import type { InputKey, InputPosition, InputVector, Run, RunTrigger } from '@mesh/shared/core/runs'
import { liveVersion, type StreamVersions } from '@mesh/shared/core/versions'
import type { JobDefinition } from '@mesh/shared/schema/job-file'
import { nextScheduled } from '@mesh/shared/schema/job-schedule'
import { type Activity, dueAt } from './coalescer.ts'
import { runId } from './run-id.ts'
import { iso } from './run-state.ts'
import { NEVER_STREAMED } from './streaming.ts'
import { coverVector, gapIn, mergeVectors, type Positions, pendingVector, positionsOf } from './vector.ts'

/** All that decides what a job does next. Pure input: no clock, no I/O. */
export type Moment = {
  readonly job: JobDefinition
  /** How far every layer of every version has come. */
  readonly positions: Positions
  readonly versions: ReadonlyMap<string, StreamVersions>
  /** The run of the highest seq; its `asOf` is what the job has been given. */
  readonly latest: Run | null
  readonly activity: Activity | null
  /** A request by hand that waits. */
  readonly request: { readonly full: boolean; readonly at: string } | null
  /** Schedules are counted from here when no run has been scheduled. Epoch ms. */
  readonly since: number
  readonly now: number
}

export type Decision =
  | { readonly kind: 'plan'; readonly run: Run }
  /** `until` null: nothing is due until something comes. */
  | { readonly kind: 'wait'; readonly until: number | null }

export const coveredBy = (latest: Run | null): Map<string, InputPosition> => positionsOf(latest?.asOf ?? [])

/** What no run has been given: of live versions, or of candidates. */
export function pendingOf(moment: Moment, of: 'live' | 'candidate'): InputVector {
  return pendingVector(coveredBy(moment.latest), moment.positions, (key) => isWanted(moment, key, of))
}

/** Whether there is input that no run has been given, of candidates too where the job wants them. */
export const hasPending = (moment: Moment): boolean =>
  pendingOf(moment, 'live').length > 0 || (moment.job.replays && pendingOf(moment, 'candidate').length > 0)

/** Streams of the job whose epoch moved since its latest run: what it has built is over another version. */
export function movedStreams({ job, latest, versions }: Pick<Moment, 'job' | 'latest' | 'versions'>): string[] {
  return inputStreams(job).filter((stream) => {
    const before = latest?.streams[stream]
    const state = versions.get(stream)
    return before !== undefined && state !== undefined && state.epoch !== before.epoch
  })
}

/** What is due now goes into one run, whatever asked for it. */
export function decide(moment: Moment): Decision {
  const { job, latest, activity, now, request } = moment
  if (!isApplied(moment)) return { kind: 'wait', until: null }
  const pending = pendingOf(moment, 'live')
  const moved = movedStreams(moment).length > 0
  if (moved && !request) return plan(moment, { trigger: 'cutover', full: true, occasion: '' })
  // What a full run that died was to build anew is in no state to be added to.
  const full = moved || (latest?.full === true && latest.state === 'dead')
  if (request) return plan(moment, { trigger: 'manual', full: request.full || full, occasion: request.at })
  const scheduled = lastScheduled(moment)
  if (scheduled !== null) return plan(moment, { trigger: 'schedule', full, occasion: iso(scheduled) })
  const times: number[] = []
  const next = nextScheduleAt(moment)
  if (next !== null) times.push(next)
  const candidates = job.replays ? pendingOf(moment, 'candidate') : []
  if (pending.length > 0 || candidates.length > 0) {
    const due = dueAt(
      job.coalesce,
      activity ?? { firstAt: now, lastAt: now },
      latest ? Date.parse(latest.plannedAt) : null,
    )
    if (due > now) times.push(due)
    else if (pending.length > 0) return plan(moment, { trigger: 'commit', full, occasion: '' })
    else
      return { kind: 'plan', run: newRun(moment, candidates, { trigger: 'commit', full: false, occasion: '' }, true) }
  }
  return { kind: 'wait', until: times.length > 0 ? Math.min(...times) : null }
}

/**
 * The run that takes the place of one that no engine has had: its input and what came since. Null when nothing came. After a
 * cutover what it was to do is void, whether it was tried or not.
 */
export function replacement(moment: Moment, waiting: Run): Run | null {
  if (movedStreams(moment).length > 0) {
    return { ...plan(moment, { trigger: 'cutover', full: true, occasion: '' }).run, supersedes: [waiting.id] }
  }
  // One that streams reads what came meanwhile anyway.
  if (waiting.streaming !== undefined) return null
  if (waiting.state !== 'planned' || waiting.candidate || waiting.seq !== moment.latest?.seq) return null
  const pending = pendingOf(moment, 'live')
  if (pending.length === 0) return null
  const vector = mergeVectors(waiting.vector, pending)
  const occasion = waiting.scheduledAt ?? (waiting.trigger === 'manual' ? waiting.plannedAt : '')
  const occasioned = { trigger: waiting.trigger, full: waiting.full, occasion }
  const run = newRun(moment, pending, occasioned, false)
  const id = runId({ job: moment.job.name, full: waiting.full, vector, occasion })
  return { ...run, id, vector, supersedes: [...waiting.supersedes, waiting.id].slice(-MAX_SUPERSEDES) }
}

const MAX_SUPERSEDES = 50

export function nextScheduleAt({ job, latest, since }: Pick<Moment, 'job' | 'latest' | 'since'>): number | null {
  if (job.schedule === null) return null
  return nextScheduled(job.schedule, Math.max(since, latest ? Date.parse(latest.plannedAt) : 0))
}

type Occasioned = { readonly trigger: RunTrigger; readonly full: boolean; readonly occasion: string }

export function plan(moment: Moment, occasioned: Occasioned): { kind: 'plan'; run: Run } {
  const vector = occasioned.full
    ? pendingVector(new Map(), moment.positions, (key) => isWanted(moment, key, 'live'))
    : pendingOf(moment, 'live')
  return { kind: 'plan', run: newRun(moment, vector, occasioned, false) }
}

function newRun(moment: Moment, vector: InputVector, { trigger, full, occasion }: Occasioned, candidate: boolean): Run {
  const { job, latest, positions, versions, now } = moment
  const covered = activeOnly(coveredBy(latest), versions)
  const gap = full ? null : gapIn(covered, vector)
  if (gap !== null) throw new RangeError(`planning ${job.name}: ${gap}`)
  const streams = Object.fromEntries(
    inputStreams(job).flatMap((stream) => {
      const state = versions.get(stream)
      return state ? [[stream, { version: state.live, epoch: state.epoch }] as const] : []
    }),
  )
  const told = trigger === 'cutover' ? JSON.stringify(streams) : occasion
  const newest = vector.map((range) => newestAt(positions, range)).reduce((a, b) => (a > b ? a : b), '')
  return {
    kind: 'run',
    id: runId({ job: job.name, full, vector, occasion: told }),
    job: job.name,
    engine: job.engine,
    seq: (latest?.seq ?? 0) + 1,
    trigger,
    full,
    candidate,
    vector,
    asOf: coverVector(covered, vector, positions),
    streams,
    supersedes: [],
    scheduledAt: trigger === 'schedule' ? occasion : null,
    state: 'planned',
    attempt: 0,
    failures: 0,
    attempts: [],
    error: null,
    nextAttemptAt: null,
    result: null,
    ...(job.streaming ? { streaming: NEVER_STREAMED } : {}),
    newestInputAt: newest === '' ? null : newest,
    plannedAt: iso(now),
    startedAt: null,
    endedAt: null,
  }
}

/** The newest instant of the schedule that has passed and that no run stands for: of several missed ones, one run. */
function lastScheduled(moment: Moment): number | null {
  let at = nextScheduleAt(moment)
  if (at === null || at > moment.now) return null
  let next: number | null = at
  for (let looks = 0; next !== null && next <= moment.now && looks < 10_000; looks++) {
    at = next
    next = nextScheduled(moment.job.schedule!, next)
  }
  return at
}

function isWanted({ job, versions }: Moment, key: InputKey, of: 'live' | 'candidate'): boolean {
  if (!job.inputs.some(({ stream, layer }) => stream === key.stream && layer === key.layer)) return false
  const state = versions.get(key.stream)
  if (state === undefined) return false
  // Bronze is raw's: it has one version, whichever is live.
  if (key.layer === 'bronze') return of === 'live'
  if (of === 'live') return key.version === state.live
  return state.versions.some(({ version, status }) => version === key.version && status === 'candidate')
}

/** Positions of versions that are gone are no use to anyone. */
function activeOnly(covered: Positions, versions: ReadonlyMap<string, StreamVersions>): Positions {
  return new Map(
    [...covered].filter(([, { stream, version, layer }]) => {
      const state = versions.get(stream)
      if (state === undefined || layer === 'bronze') return true
      return (
        version === liveVersion(state).version ||
        state.versions.some((v) => v.version === version && v.status === 'candidate')
      )
    }),
  )
}

function newestAt(positions: Positions, range: InputKey & { readonly to: number }): string {
  for (const position of positions.values()) {
    const same =
      position.layer === range.layer &&
      position.stream === range.stream &&
      position.version === range.version &&
      position.partition === range.partition &&
      position.topicId === range.topicId
    if (same) return position.at
  }
  return ''
}

const inputStreams = (job: JobDefinition): string[] => [...new Set(job.inputs.map(({ stream }) => stream))]

export const isApplied = ({ job, versions }: Moment): boolean =>
  inputStreams(job).some((stream) => versions.has(stream))
