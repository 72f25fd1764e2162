import type { HighestSrc, Lane } from './coordinate.ts'
import type { Layer } from './topics.ts'

/** Values of `mesh.runs` and answers of job-trigger's HTTP API, for the CLI, the console and lineage. Types only. */

/** A partition of a layer: what one commit event speaks of. */
export type InputKey = {
  readonly layer: Layer
  readonly stream: string
  readonly version: number
  readonly lane: Lane
  readonly topicId: string
  readonly partition: number
}

/** How far a partition of a layer has come, as its newest commit event says. */
export type InputPosition = InputKey & {
  /** Next offset: raw offsets for refined and bronze, refined offsets for silver and landing. */
  readonly offset: number
  /** Silver and landing: the rows up to here, in raw coordinates. Empty for the other layers. */
  readonly highest: HighestSrc
  /** RFC 3339 time of the commit event. */
  readonly at: string
  /** Objects (Parquet keys) or table that the newest step wrote. */
  readonly objects: readonly string[]
}

/** [from, to) of one partition. Rows of silver and landing: those after `after` and up to `upTo`, per sequence. */
export type InputRange = InputKey & {
  readonly from: number
  readonly to: number
  readonly after: HighestSrc
  readonly upTo: HighestSrc
}

/** The defined input of a run, sorted by key. */
export type InputVector = readonly InputRange[]

export type RunTrigger = 'commit' | 'cutover' | 'schedule' | 'manual'

/**
 * planned (waits for its engine) → running → succeeded | failed (is tried again at `nextAttemptAt`) | dead (out of retries).
 * superseded: its whole input went into another run before any engine had it, or a cutover made it void. stopped: a run that streams
 * was ended with a savepoint, and is resumed from it.
 */
export type RunState = 'planned' | 'running' | 'failed' | 'succeeded' | 'dead' | 'superseded' | 'stopped'

export type RunError = { readonly code: string; readonly message: string }

export type RunAttempt = {
  readonly number: number
  /** RFC 3339. */
  readonly startedAt: string
  readonly endedAt: string | null
  readonly error: RunError | null
}

/** A dataset that a run wrote: a gold table, a topic, a path. */
export type RunOutput = { readonly name: string; readonly status: string; readonly seconds?: number }

export type RunResult = {
  readonly outputs: readonly RunOutput[]
  /** Name → absolute path or URL: run_results.json, manifest.json, output.log. */
  readonly artefacts: Readonly<Record<string, string>>
  readonly message: string | null
}

/** What a run has that streams: it has no end of its own. */
export type StreamingState = {
  /** Savepoint or checkpoint that the next attempt goes on from; null: the start offsets of its vector. */
  readonly recoverFrom: string | null
  /** It is to end with a savepoint: since when (RFC 3339), and why. Null: it is to stream. */
  readonly stop: { readonly at: string; readonly reason: 'asked' | 'cutover' } | null
  /** The engine's own word for the state of this attempt, at the last look; null before the first. */
  readonly engineState: string | null
  /** Hash of the program as it was when this attempt began; null: it could not be read. */
  readonly program: string | null
  /** The program's files say something else by now. */
  readonly changed: boolean
}

/** A record `run/<id>` of `mesh.runs`. */
export type Run = {
  readonly kind: 'run'
  /** `<job>.<20 hex digits>` over job and vector: the same input gives the same id. */
  readonly id: string
  readonly job: string
  readonly engine: string
  /** Order of planning inside the job, from 1. */
  readonly seq: number
  readonly trigger: RunTrigger
  /** Everything anew: the vector begins at the start of every input. */
  readonly full: boolean
  /** Over candidate versions, for jobs that ask for them. */
  readonly candidate: boolean
  readonly vector: InputVector
  /** All that the job has been given up to and with this run: what a run may read. */
  readonly asOf: readonly InputPosition[]
  /** Live version and epoch of every input stream when the run was planned. */
  readonly streams: Readonly<Record<string, { readonly version: number; readonly epoch: number }>>
  readonly supersedes: readonly string[]
  /** The instant of the schedule that asked for it, RFC 3339. */
  readonly scheduledAt: string | null
  readonly state: RunState
  /** The newest attempt, from 1; 0 before the first. */
  readonly attempt: number
  /** Attempts that failed since it was planned, or asked for again by hand. */
  readonly failures: number
  /** The last 20. */
  readonly attempts: readonly RunAttempt[]
  readonly error: RunError | null
  /** RFC 3339; null when it does not wait. */
  readonly nextAttemptAt: string | null
  readonly result: RunResult | null
  /** Absent: the run has an end. Of its vector only the start offsets count: it reads on from them. */
  readonly streaming?: StreamingState
  /** Commit time of the newest input, RFC 3339: freshness is `endedAt` minus this. */
  readonly newestInputAt: string | null
  readonly plannedAt: string
  readonly startedAt: string | null
  readonly endedAt: string | null
}

/** A record `positions/<stream>` of `mesh.runs`: how far the trigger has read, of every version. */
export type StreamPositions = {
  readonly kind: 'positions'
  readonly stream: string
  readonly positions: readonly InputPosition[]
}

export type RunsRecord = Run | StreamPositions

export type JobView = {
  readonly name: string
  /** `jobs/<name>.yaml`. */
  readonly file: string
  /** Null when the file cannot be read as a job; `error` says why. */
  readonly engine: string | null
  readonly error: RunError | null
  readonly inputs: readonly { readonly stream: string; readonly layer: Layer }[]
  readonly schedule: string | null
  readonly nextScheduleAt: string | null
  readonly open: readonly Run[]
  readonly last: Run | null
  /** Ids of dead runs: input that no later run has taken up. */
  readonly dead: readonly string[]
  /** Offsets that no run has been given yet. */
  readonly pendingOffsets: number
}

export type JobsResponse = { readonly jobs: readonly JobView[] }
export type RunsResponse = { readonly runs: readonly Run[] }
export type RunRequest = { readonly full?: boolean }
/** `from`: a savepoint or checkpoint in place of the one that the run knows. */
export type ResumeRequest = { readonly from?: string }
