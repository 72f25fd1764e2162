import type { RecordBatch, RecordToSend } from '@mesh/shared/core/record'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { StillParked } from '@mesh/shared/core/still-parked'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { PartitionOffsets, PartitionRange, TopicSpec } from '@mesh/shared/kafka/port'
import type { Bundle } from '@mesh/shared/schema/port'

/** Frozen bundles in the object store. */
export interface Bundles {
  /** @throws MeshError MESH_BUNDLE_INVALID when it is missing or damaged */
  load(hash: string): Promise<Bundle>
}

export interface Topics {
  /** Creates what is missing and waits until the brokers show it. Returns the names it created. */
  ensure(specs: readonly TopicSpec[]): Promise<string[]>
  /** Gives an existing topic the settings of its spec; others that it has stay. */
  configure(spec: TopicSpec): Promise<void>
  /** topic → topic id; a topic that does not exist is absent. */
  ids(names: readonly string[]): Promise<ReadonlyMap<string, string>>
  partitionCount(topic: string): Promise<number>
  /** In order of partitions. */
  offsets(topic: string): Promise<PartitionOffsets[]>
}

/** `mesh.versions` as its only writer sees it. */
export interface VersionsStore {
  all(): readonly StreamVersions[]
  get(stream: string): StreamVersions | null
  /**
   * One at a time: applies a pure change to the present state and makes the result durable. A change that returns the same
   * object writes nothing.
   */
  update(stream: string, change: (state: StreamVersions | null) => StreamVersions): Promise<StreamVersions>
}

export type Clock = {
  /** Epoch ms. */
  now(): number
  /** Resolves after `ms`, or at once when the signal is aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
}

export const rfc3339 = (epochMs: number): string => new Date(epochMs).toISOString()

/** Where history is read from. Batches tile; offsets without a record lie inside them. */
export interface History {
  /**
   * How far bronze reaches, contiguous from 0, with its declared holes; the lake's own retention has dropped what lies below `droppedTo`
   * (absent: nothing). @throws MESH_LAKE_CHAIN_BROKEN
   */
  lakeCover(
    id: LakePartition,
  ): Promise<{ nextOffset: number; holes: { from: number; to: number }[]; droppedTo?: number }>
  /** [from, to) from bronze; ends early where bronze ends. */
  readLake(id: LakePartition, range: { from: number; to: number }): AsyncIterable<RecordBatch>
  /** Each range once, in offset order per partition. @throws MESH_KAFKA_OFFSET_OUT_OF_RANGE when retention passed a `from`. */
  readLog(
    topic: string,
    ranges: readonly PartitionRange[],
    onBatch: (batch: RecordBatch) => Promise<void>,
  ): Promise<void>
  /** Per partition the earliest offset in the log with a timestamp at or after `time`, else the high watermark. */
  logOffsetsAtTime(topic: string, time: number): Promise<ReadonlyMap<number, number>>
}

export type LakePartition = { readonly stream: string; readonly topicId: string; readonly partition: number }

export interface ReplayTopic {
  /** Source offset of the last record in each partition, null where there is none: what a restart continues after. */
  lastSources(topic: string): Promise<(number | null)[]>
  /** Durable on return, in order. */
  send(topic: string, records: readonly RecordToSend[]): Promise<void>
}

/** An enricher's position in a raw partition, and what it has parked below it. */
export type EnricherPosition = { readonly offset: number; readonly parked: StillParked }

/** Positions of consumer groups: next offset per partition, null where the group has committed nothing. */
export interface GroupPositions {
  positions(group: string, topic: string, partitions: number): Promise<(number | null)[]>
  /** Both of one commit. */
  enricherPositions(group: string, topic: string, partitions: number): Promise<(EnricherPosition | null)[]>
}

export interface JobsStore {
  all(): readonly ReplayJob[]
  get(id: string): ReplayJob | null
  add(job: ReplayJob): Promise<void>
  /** One at a time: applies a pure change and makes the result durable; the same object back writes nothing. */
  update(id: string, change: (job: ReplayJob) => ReplayJob): Promise<ReplayJob>
}

/** Deletes what a job has left behind. Idempotent. */
export interface Removal {
  deleteTopics(topics: readonly string[]): Promise<void>
  deleteGroups(groups: readonly string[]): Promise<void>
}
