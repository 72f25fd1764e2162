import type { RecordBatch, RecordToSend } from '../core/record.ts'

/**
 * What the mesh asks of a Kafka client. No client type crosses this port; every adapter passes the suite in
 * `@mesh/shared/testing/kafka-contract`.
 */
export interface KafkaPort {
  producer(options?: ProducerOptions): Promise<Producer>
  /**
   * A producer whose records and group offset become visible together or not at all: one per (group, input partition). Opening it
   * fences whoever held the id and ends its open transaction, waiting for that as long as the holder's timeout.
   */
  transactional(options: TransactionalOptions): Promise<TransactionalProducer>
  /** Joins a consumer group and runs its loop until stopped. */
  consumer(options: GroupConsumerOptions): GroupConsumer
  /**
   * Reads [from, to) of each partition once, read_committed, in offset order per partition, and finishes on position (control
   * and aborted records own offsets and are never delivered). Uses a throwaway group, deleted after.
   * @throws MeshError MESH_KAFKA_OFFSET_OUT_OF_RANGE when `from` is below the log start.
   */
  readRanges(
    topic: string,
    ranges: readonly PartitionRange[],
    onBatch: (batch: RecordBatch) => void | Promise<void>,
  ): Promise<void>
  /** Follows all partitions of a topic outside any durable group: tables, `mesh.versions`, `mesh tail`. */
  follow(topic: string, options: FollowOptions): Promise<Follower>
  /** Follows those partitions of a topic that are added, and none before; outside any durable group too. */
  followPartitions(topic: string, onFatal: (error: unknown) => void): Promise<PartitionFollower>
  readonly admin: KafkaAdmin
  close(): Promise<void>
}

export type ProducerOptions = {
  readonly compression?: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
  /** Most bytes merged into one produce request; a single `send` is never split. Default 900,000. */
  readonly maxBatchBytes?: number
}

export interface Producer {
  /**
   * Resolves with each record's offset, in input order, once acks=all have it. Records of one partition in one call lie in one
   * record batch: all or none of them are written. Calls queue behind one another (one request in flight) and are merged.
   * @throws MeshError MESH_KAFKA_UNAVAILABLE (outcome unknown), MESH_KAFKA_RECORD_TOO_LARGE.
   */
  send(topic: string, records: readonly RecordToSend[]): Promise<number[]>
  /** Waits for what is queued, then disconnects. */
  close(): Promise<void>
}

export type TransactionalOptions = {
  /** One owner at a time; name it after the group and the input partition. */
  readonly transactionalId: string
  /** The group whose offset a step moves. Without one every step has `offset: null` and a `decide`. */
  readonly group?: string
  /**
   * All topics that steps of this id write to: where a former owner's transaction may be open although the coordinator calls it
   * complete (lost-markers.ts). It is ended there before the id is used.
   */
  readonly topics: readonly string[]
  /**
   * The broker aborts a transaction that is open for longer, and its owner is fenced. Also how long a step is tried again while
   * the broker does not answer. Default 60,000.
   */
  readonly timeoutMs?: number
  readonly compression?: ProducerOptions['compression']
}

export type TopicWrite = { readonly topic: string; readonly records: readonly RecordToSend[] }

/** What one transaction makes visible at once. */
export type TransactionStep = { readonly writes: readonly TopicWrite[] } & (
  | {
      /** Must differ from what is committed, in the offset or in the metadata: the difference is what tells an unknown outcome. */
      readonly offset: { readonly topic: string; readonly partition: number; readonly progress: Progress }
    }
  | {
      readonly offset: null
      /**
       * Asked after an unknown outcome, once the id is this producer's again and no transaction is open: reads what the step
       * itself wrote (a cursor record). `absent`: all is as it was before the step; `foreign`: another owner has moved on.
       */
      readonly decide: () => Promise<'committed' | 'absent' | 'foreign'>
    }
)

export interface TransactionalProducer {
  /** The group's committed offset, read after the fencing: the only trustworthy position to begin from. */
  committed(topic: string, partition: number): Promise<Committed | null>
  /**
   * Writes all records and the offset in one transaction; resolves with the records' offsets, per write in input order, once it is
   * committed. Records of one partition in one write are neighbours. Calls queue behind one another.
   *
   * An unknown outcome is settled inside: the id is opened again, then what is committed is read. As after this step: done. As
   * before it: sent again. Anything else is another owner's.
   * @throws MeshError MESH_KAFKA_FENCED: another owner holds the id, or the transaction outlived its timeout.
   * @throws MeshError MESH_KAFKA_UNAVAILABLE: unsettled after `timeoutMs`.
   * @throws MeshError MESH_KAFKA_RECORD_TOO_LARGE: nothing was written; the producer goes on.
   * After the first two every further call fails alike: open a new producer and begin from its `committed`.
   */
  transact(step: TransactionStep): Promise<readonly (readonly number[])[]>
  /** Waits for what is queued, then disconnects. */
  close(): Promise<void>
}

export type PartitionRange = { readonly partition: number; readonly from: number; readonly to: number }
export type Committed = { readonly offset: number; readonly metadata: string }

export type TopicPartition = { readonly topic: string; readonly partition: number }

export type AssignedPartition = TopicPartition & {
  readonly topicId: string
  readonly committed: Committed | null
  readonly logStartOffset: number
  readonly highWatermark: number
}

/** What a step made durable: the loop commits it as its last line, then calls `committed`. */
export type Progress = { readonly nextOffset: number; readonly metadata: string }

/**
 * The work of one assigned partition. Calls never overlap. A throw is fatal: nothing later is committed and the process ends.
 * MESH_KAFKA_FENCED, of `assign` and `commit` too, ends the partition's work alone. If the group does not take the partition away
 * within `fencedMs`, its handler is closed as revoked and it is assigned again, once per generation; a second time is fatal.
 */
export interface PartitionHandler {
  /** Takes a batch that starts at the handler's position. Returns what may be committed now, or null. */
  process(batch: RecordBatch): Promise<Progress | null>
  /** Called by the loop every `tickMs`, records or not: the place to flush what is due. */
  tick?(): Promise<Progress | null>
  /** After the group offset is committed. */
  committed?(progress: Progress): Promise<void>
  /** The partition left (rebalance) or the consumer stops: flush if wanted and return a last progress, or null. */
  close?(reason: 'revoked' | 'stopping'): Promise<Progress | null>
}

export type Assignment = {
  /** Next offset to read. */
  readonly position: number
  readonly handler: PartitionHandler
  /** True: nothing is fetched for this partition until `GroupConsumer.resume`. */
  readonly paused?: boolean
}

export type GroupConsumerOptions = {
  readonly groupId: string
  /** Partition p of every topic goes to one member. */
  readonly topics: readonly string[]
  /** Awaited before the first batch of a partition, at every (re)assignment. Decides position and handler. */
  readonly assign: (assigned: AssignedPartition) => Promise<Assignment>
  readonly tickMs?: number
  /** A call of a handler that takes longer is stuck: the consumer leaves its group and fails. Default 300,000. */
  readonly stallMs?: number
  /**
   * Takes the place of the loop's own offset commit: an exactly-once runner writes its outputs and the progress in one
   * transaction here. All the rest stays: the topic id is looked at before, `committed` follows, and a lane of a former generation
   * never gets here. Resolves false when the partition is no longer this member's to commit.
   */
  readonly commit?: (assigned: TopicPartition, progress: Progress) => Promise<boolean>
  /** How long a fenced partition waits for the group to take it away. Default 15,000: a session and a rejoin. */
  readonly fencedMs?: number
  /** Errors that only say that a former owner has written to the partition: it is opened again without waiting for the group. */
  readonly reopens?: (error: unknown) => boolean
  /** Told once of the error that stopped the consumer. The service ends the process. */
  readonly onFatal: (error: unknown) => void
}

export interface GroupConsumer {
  /** Resolves once the group is joined the first time. */
  start(): Promise<void>
  /** Drains handlers (`close('stopping')`), commits, leaves the group. */
  stop(): Promise<void>
  /** Lets a partition flow that was assigned paused, or paused from a handler. */
  resume(topic: string, partition: number): void
  pause(topic: string, partition: number): void
  /** Where a paused partition goes on. */
  seek(topic: string, partition: number, position: number): void
  /**
   * The facts of an assigned partition as they are now, for one that is opened long after its assignment. Null when the group does not
   * say that it is this member's: what it has committed is then another's to go on from.
   */
  describe(topic: string, partition: number): Promise<AssignedPartition | null>
  /** Next offset to read per `topic/partition` currently owned. */
  positions(): ReadonlyMap<string, number>
}

export type FollowOptions = {
  /** A map: next offset per partition, for those that were read before; the others from their start. */
  readonly from: 'start' | 'end' | ReadonlyMap<number, number>
  readonly onBatch: (batch: RecordBatch) => void | Promise<void>
  readonly onFatal: (error: unknown) => void
}

export interface Follower {
  /** Resolves when everything that was in the topic when `follow` was called has been handed over. */
  readonly caughtUp: Promise<void>
  stop(): Promise<void>
}

export interface PartitionFollower {
  /**
   * Follows a partition that is not followed, from `from` on (null: its start). Resolves when everything that was in it when `add` was
   * called has been handed over. A throw of `onBatch` ends the follower.
   */
  add(
    partition: number,
    options: { readonly from: number | null; readonly onBatch: FollowOptions['onBatch'] },
  ): Promise<void>
  /** Resolves when `onBatch` is not called any more. Not to be awaited in it. */
  remove(partition: number): Promise<void>
  stop(): Promise<void>
}

export type TopicSpec = {
  readonly name: string
  readonly partitions: number
  readonly config: Readonly<Record<string, string>>
}

export type PartitionOffsets = {
  readonly partition: number
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly lastStableOffset: number
}

export interface KafkaAdmin {
  /** topic → topic id; a topic that does not exist is absent. */
  topicIds(topics: readonly string[]): Promise<ReadonlyMap<string, string>>
  listTopics(): Promise<string[]>
  partitionCount(topic: string): Promise<number>
  /** Creates what is missing; returns the names it created. Existing topics are left as they are. */
  ensureTopics(specs: readonly TopicSpec[]): Promise<string[]>
  deleteTopics(topics: readonly string[]): Promise<void>
  /** The settings of the topic itself, without defaults. */
  topicConfig(topic: string): Promise<Readonly<Record<string, string>>>
  /** Changes the settings that are named and no other; null puts one back to its default. `topicConfig` shows it moments later. */
  alterTopicConfig(topic: string, changes: Readonly<Record<string, string | null>>): Promise<void>
  offsets(topic: string): Promise<PartitionOffsets[]>
  /** Per partition the earliest offset with timestamp ≥ `timestamp`; the high watermark where there is none. */
  offsetsAtTime(topic: string, timestamp: number): Promise<ReadonlyMap<number, number>>
  /** What a transaction commits shows here once its markers are written, moments after `transact` resolves. */
  committed(group: string, topic: string): Promise<ReadonlyMap<number, Committed>>
  deleteGroups(groups: readonly string[]): Promise<void>
}
