import type { StreamVersions } from './versions.ts'

/** Requests and answers of the replayer's HTTP API, for the CLI, the console and tests. Types only. */

/** Body of `POST /v1/streams/{stream}/bundle` and `/plan`. The bundle lies in the object store under `bundles/<hash>/`. */
export type BindRequest = { readonly bundle: string }

export type BindResponse = {
  readonly stream: string
  /** False: the bundle was bound already and nothing was done. */
  readonly changed: boolean
  readonly bundle: string
  /** The version it is bound to. */
  readonly version: number
  readonly epoch: number
  /** Names of topics that this call created. */
  readonly createdTopics: readonly string[]
  readonly versions: StreamVersions
}

/** Which part of a joined table each instance of the enricher holds: that of its partitions, or all of it and why. */
export type PlannedJoin = {
  readonly as: string
  readonly stream: string
  readonly scope: 'partition' | 'global'
  readonly reason: string | null
}

/** What binding a bundle would do. `refused` names in `problems` why `apply` would answer with an error. */
export type PlanResponse = {
  readonly stream: string
  readonly bundle: string
  readonly action: 'create' | 'update' | 'unchanged' | 'refused'
  readonly topics: readonly { readonly name: string; readonly partitions: number; readonly exists: boolean }[]
  readonly schema: {
    readonly subject: string
    readonly compatible: boolean
    /** Why it is not, by version and field. */
    readonly reasons: readonly string[]
    /** What changes from the bound schema, safe or not, in plain words. */
    readonly changes: readonly string[]
  }
  readonly joins: readonly PlannedJoin[]
  /** Landing table of the version and the view over it. */
  readonly tables: readonly string[]
  /** What is bound today; null for a stream that was never applied. */
  readonly state: {
    readonly live: number
    readonly epoch: number
    readonly bundle: string
    readonly candidate: number | null
  } | null
  /** Parts of the contract that differ from what is bound, by their path in stream.yaml. */
  readonly changes: readonly string[]
  readonly problems: readonly { readonly code: string; readonly message: string }[]
}

export type StreamsResponse = { readonly streams: readonly StreamVersions[] }

/** Offsets per partition (`{"0": 120}`; a partition left out has no bound), or an RFC 3339 time. */
export type ReplayBound = Readonly<Record<string, number>> | string

/** Body of `POST /v1/replays`. */
export type ReplayRequest = {
  readonly stream: string
  /** First raw offset per partition, or the earliest offset whose Kafka timestamp is at or after the time. Absent: 0. */
  readonly from?: ReplayBound
  /** End (exclusive), by the same rules. Absent: the high watermark when the plan is made. */
  readonly to?: ReplayBound
  /** `auto`: the lake as far as bronze reaches, the log for the rest. Default. */
  readonly source?: 'auto' | 'lake' | 'log'
  /** Hash of the bundle the candidate runs. Default: the newest of the live version. */
  readonly bundle?: string
  /** Most records per second over all partitions. Default: no limit. */
  readonly recordsPerSecond?: number
}

/** [from, to) of one raw partition: [from, lakeTo) comes from bronze, [lakeTo, to) from the log. */
export type PartitionPlan = {
  readonly partition: number
  readonly from: number
  readonly to: number
  readonly lakeTo: number
  /** Offsets in the range that bronze books as lost to retention. */
  readonly holes: number
}

/** Frozen when the replay is asked for; the job runs against it and nothing else. */
export type ReplayPlan = {
  readonly rawTopicId: string
  readonly source: 'auto' | 'lake' | 'log'
  readonly bundle: string
  readonly partitions: readonly PartitionPlan[]
  /** SHA-256 of the above: the same request over the same history gives the same hash. */
  readonly hash: string
}

export type ReplayState = 'PLANNED' | 'PREPARED' | 'RUNNING' | 'DRAINED' | 'READY' | 'CUTOVER' | 'CANCELLED'

export type PartitionProgress = {
  readonly partition: number
  /** Next source offset to emit, between the plan's from and the changeover. */
  readonly position: number
  /** Records written to the replay topic by this process since it took the job up. */
  readonly emitted: number
  /** Source offsets of the whole range. */
  readonly total: number
}

/** How far the candidate is behind what it must have reached, per partition; all 0 = ready. */
export type CandidateLag = {
  readonly partition: number
  /** Raw offsets behind the live enricher; replay records still to read count too. */
  readonly enricher: number
  /** Refined records not yet in silver, and not yet in landing. */
  readonly silver: number
  readonly landing: number
  /** Raw records that wait in the lane `parked` of both versions; absent in jobs of before there was one. */
  readonly parked?: number
}

export type ReplayProgress = {
  readonly partitions: readonly PartitionProgress[]
  readonly recordsPerSecond: number
  /** Seconds until everything is emitted at the present rate; null when unknown. */
  readonly etaSeconds: number | null
  /** Null until everything is emitted. */
  readonly candidateLag: readonly CandidateLag[] | null
}

/** The value of a record on `mesh.replays`; its key is the job id. */
export type ReplayJob = {
  readonly id: string
  readonly stream: string
  readonly state: ReplayState
  /** The candidate version this job builds. */
  readonly version: number
  readonly plan: ReplayPlan
  /** Per partition the raw offset from which the candidate reads raw itself; at or above the plan's `to`. */
  readonly changeover: readonly number[]
  readonly replayTopic: string
  readonly refinedTopic: string
  readonly recordsPerSecond: number | null
  readonly progress: ReplayProgress
  /** The last failure while it is being tried again; null when there is none. */
  readonly error: { readonly code: string; readonly message: string } | null
  /** True once the topics and groups that the job no longer needs are deleted. */
  readonly cleaned: boolean
  /** RFC 3339. */
  readonly createdAt: string
  readonly updatedAt: string
}

export type ReplaysResponse = { readonly replays: readonly ReplayJob[] }
