import type { Counts } from '@mesh/shared/core/books'
import type { ReplayState } from '@mesh/shared/core/replay-api'
import type { RunState, RunTrigger } from '@mesh/shared/core/runs'
import type { VersionStatus } from '@mesh/shared/core/versions'

/** What the page shows at one moment. JSON: `/api/snapshot`, and each event of `/events`. */
export type Snapshot = {
  /** RFC 3339. */
  readonly at: string
  readonly services: readonly ServiceHealth[]
  readonly streams: readonly StreamSnapshot[]
  readonly replays: readonly ReplaySnapshot[]
  readonly jobs: readonly JobSnapshot[]
  /** What could not be read, one sentence each; the rest of the snapshot stands. */
  readonly problems: readonly string[]
}

export type ServiceHealth = {
  readonly name: string
  readonly url: string
  /** `ready` answers 200 on /readyz, `unready` answers otherwise, `down` does not answer. */
  readonly state: 'ready' | 'unready' | 'down'
  readonly detail: string | null
}

export type TopicSnapshot = {
  readonly topic: string
  /** Sum of the partitions' end offsets: records ever written, control records among them. Null: the topic is not there. */
  readonly written: number | null
  /** Records a second, over the last seconds. */
  readonly rate: number | null
}

/** A reader of a topic: what it has yet to read, and its cumulative books as last announced. */
export type EdgeSnapshot = {
  /** lastStableOffset − position, summed; null when it cannot be told. */
  readonly lag: number | null
  readonly counts: Counts | null
  /** RFC 3339 of the newest commit event. */
  readonly announcedAt: string | null
  /** Event time of the newest row, RFC 3339. */
  readonly maxEventTime: string | null
}

export type VersionSnapshot = {
  readonly version: number
  readonly status: VersionStatus
  /** First 12 digits of the code's hash. */
  readonly code: string
  readonly refined: TopicSnapshot
  /** Fates of lane main, outputs of all lanes. */
  readonly enricher: EdgeSnapshot
  /** Parked records that have no fate yet; null before anything is announced. */
  readonly waiting: number | null
  readonly silver: EdgeSnapshot
  readonly landing: EdgeSnapshot
  /** The replay that fills a candidate. */
  readonly replayJob: string | null
}

export type StreamSnapshot = {
  readonly stream: string
  readonly epoch: number
  readonly live: number
  readonly partitions: number
  readonly raw: TopicSnapshot
  readonly bronze: EdgeSnapshot
  readonly deadLetters: TopicSnapshot
  /** Live and candidate versions, newest last. */
  readonly versions: readonly VersionSnapshot[]
}

export type ReplaySnapshot = {
  readonly id: string
  readonly stream: string
  readonly version: number
  readonly state: ReplayState
  /** Source offsets emitted and asked for. */
  readonly done: number
  readonly total: number
  readonly recordsPerSecond: number
  readonly etaSeconds: number | null
  /** How far the candidate is behind, summed over partitions and layers; null until everything is emitted. */
  readonly candidateLag: number | null
  readonly error: string | null
  readonly updatedAt: string
}

/** A job as its runs on `mesh.runs` show it. */
export type JobSnapshot = {
  readonly job: string
  readonly engine: string
  /** Runs that have not ended: waiting, under way, or to be tried again. */
  readonly open: readonly RunSnapshot[]
  readonly last: RunSnapshot | null
  readonly succeeded: number
  /** Ids of dead runs: their input is in no later run. */
  readonly dead: readonly string[]
}

export type RunSnapshot = {
  readonly id: string
  readonly state: RunState
  readonly trigger: RunTrigger
  readonly full: boolean
  readonly attempt: number
  /** Offsets of the run's input, and per stream up to where: `flights v1 +20 to 5020`. */
  readonly offsets: number
  readonly input: string
  /** Commit of the newest input to success, ms. */
  readonly freshnessMs: number | null
  readonly tookMs: number | null
  readonly error: string | null
  readonly at: string
}
