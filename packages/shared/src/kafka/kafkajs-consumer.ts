import type * as KafkaJs from 'kafkajs'
import { MeshError } from '../core/errors.ts'
import type { KafkaRecord } from '../core/record.ts'
import { coPartitionAssigner } from './co-partition-assigner.ts'
import type { LagMeter } from './consumer-lag.ts'
import { WIRE_BYTES } from './fetch-slices.ts'
import { createGroupLanes } from './group-lanes.ts'
import { kafkajs, type WireHeader } from './kafkajs-client.ts'
import type {
  AssignedPartition,
  GroupConsumer,
  GroupConsumerOptions,
  KafkaAdmin,
  Progress,
  TopicPartition,
} from './port.ts'

/** The broker's least; a killed member's partitions are free after it. Heartbeats run on a timer, also while a handler works. */
const SESSION_TIMEOUT_MS = 6000
const HEARTBEAT_MS = 1000
const TOPIC_IDS_HOLD_MS = 5000
const CONCURRENT_PARTITIONS = 64
/** Memory of a consumer: partitions in one fetch × what `fetch-slices` lets of each be decompressed at a time. */
const FETCH = { minBytes: 1, maxWaitTimeInMs: 100, maxBytesPerPartition: WIRE_BYTES.most, maxBytes: 16_777_216 }
const LOST_GENERATION = new Set([
  'REBALANCE_IN_PROGRESS',
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'NOT_COORDINATOR_FOR_GROUP',
])

/** What kafkajs hands over beyond its published type. */
type FetchedBatch = KafkaJs.Batch & { readonly fetchedOffset: string }

export function createKafkaJsConsumer(
  client: KafkaJs.Kafka,
  admin: KafkaAdmin,
  options: GroupConsumerOptions,
  lag: Pick<LagMeter, 'track'> | null = null,
): GroupConsumer {
  const { groupId, topics } = options
  const consumer = client.consumer({
    groupId,
    partitionAssigners: [coPartitionAssigner],
    sessionTimeout: SESSION_TIMEOUT_MS,
    heartbeatInterval: HEARTBEAT_MS,
    allowAutoTopicCreation: false,
    ...FETCH,
    // A crash ends the process; kafkajs must not restart the consumer by itself.
    retry: { retries: 12, initialRetryTime: 100, maxRetryTime: 2000, restartOnFailure: () => Promise.resolve(false) },
  })
  const untrack = lag?.track(groupId, () => (ended ? [] : lanes.progress()))
  let joined: PromiseWithResolvers<void> = Promise.withResolvers()
  let ended = false

  const lanes = createGroupLanes(
    {
      ...options,
      onFatal(error) {
        ended = true
        joined.reject(error)
        options.onFatal(error)
        void consumer.disconnect().catch(() => undefined)
      },
    },
    {
      describe,
      topicIds: () => admin.topicIds(topics),
      topicIdsHoldMs: TOPIC_IDS_HOLD_MS,
      commit,
      holds,
      seek,
      pause,
      resume,
    },
  )
  // Nobody may be waiting for the first join when a later one fails.
  joined.promise.catch(() => undefined)

  let memberId = ''
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    memberId = payload.memberId
    const partitions = Object.entries(payload.memberAssignment).flatMap(([topic, own]) =>
      own.map((partition) => ({ topic, partition })),
    )
    lanes.assigned(partitions)
    joined.resolve()
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => lanes.fail(fatal(groupId, payload.error)))

  async function eachBatch(payload: KafkaJs.EachBatchPayload): Promise<void> {
    const batch = payload.batch as FetchedBatch
    const beating = keepBeating(() => payload.heartbeat())
    try {
      const taken = await lanes.deliver({
        topic: batch.topic,
        partition: batch.partition,
        firstOffset: Number(batch.fetchedOffset),
        nextOffset: Number(batch.lastOffset()) + 1,
        records: batch.messages.map(readRecord),
      })
      if (taken) payload.resolveOffset(batch.lastOffset())
    } finally {
      clearInterval(beating)
    }
  }

  /** While a handler works; one that is stuck is the lanes' to find. */
  function keepBeating(heartbeat: () => Promise<void>): NodeJS.Timeout {
    // A rebalance shows here first; the runner's own heartbeat after the batch acts on it.
    return setInterval(() => {
      if (!ended) heartbeat().catch(() => undefined)
    }, HEARTBEAT_MS)
  }

  async function describe(partitions: readonly TopicPartition[]): Promise<AssignedPartition[]> {
    const ids = await admin.topicIds(topics)
    const described: AssignedPartition[] = []
    for (const topic of new Set(partitions.map((p) => p.topic))) {
      const topicId = ids.get(topic)
      if (topicId === undefined)
        throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', 'an assigned topic is gone', { place: topic })
      const [committed, offsets] = await Promise.all([admin.committed(groupId, topic), admin.offsets(topic)])
      for (const { partition } of partitions.filter((p) => p.topic === topic)) {
        const found = offsets.find((o) => o.partition === partition)
        if (!found)
          throw new MeshError('MESH_KAFKA_FATAL', 'an assigned partition has no offsets', {
            place: `${topic}/${partition}`,
          })
        const { logStartOffset, highWatermark } = found
        described.push({
          topic,
          topicId,
          partition,
          committed: committed.get(partition) ?? null,
          logStartOffset,
          highWatermark,
        })
      }
    }
    return described
  }

  async function commit(topic: string, partition: number, { nextOffset, metadata }: Progress): Promise<boolean> {
    try {
      await consumer.commitOffsets([{ topic, partition, offset: String(nextOffset), metadata }])
      return !ended
    } catch (error) {
      for (let e = error; e instanceof Error; e = e.cause) {
        if (LOST_GENERATION.has((e as { type?: string }).type ?? '')) return false
      }
      throw error
    }
  }

  /** A group that is being joined anew names no partitions. */
  async function holds(partitions: readonly TopicPartition[]): Promise<boolean> {
    const { members } = await consumer.describeGroup()
    const member = members.find((one) => one.memberId === memberId)
    const own = member && kafkajs.AssignerProtocol.MemberAssignment.decode(member.memberAssignment)?.assignment
    return partitions.every(({ topic, partition }) => own?.[topic]?.includes(partition) === true)
  }

  function seek(topic: string, partition: number, offset: number): void {
    if (!ended) consumer.seek({ topic, partition, offset: String(offset) })
  }

  function pause(topic: string, partition: number): void {
    if (!ended) consumer.pause([{ topic, partitions: [partition] }])
  }

  function resume(topic: string, partition: number): void {
    if (!ended) consumer.resume([{ topic, partitions: [partition] }])
  }

  return {
    async start() {
      joined = Promise.withResolvers()
      await consumer.connect()
      await consumer.subscribe({ topics: [...topics], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: CONCURRENT_PARTITIONS,
        eachBatch,
      })
      await joined.promise
    },
    async stop() {
      untrack?.()
      if (ended) return
      await lanes.stop()
      ended = true
      await consumer.disconnect()
    },
    resume: lanes.resume,
    pause: lanes.pause,
    seek: lanes.seek,
    describe: lanes.describe,
    positions: lanes.positions,
  }
}

function fatal(groupId: string, error: Error): MeshError {
  if (error.cause instanceof MeshError) return error.cause
  return new MeshError('MESH_KAFKA_FATAL', 'the consumer crashed', { place: groupId, cause: error })
}

function readRecord(message: KafkaJs.KafkaMessage): KafkaRecord {
  const offset = Number(message.offset)
  if (!Number.isSafeInteger(offset)) throw new MeshError('MESH_KAFKA_FATAL', `offset ${message.offset} is beyond 2^53`)
  return {
    offset,
    timestamp: Number(message.timestamp),
    key: message.key,
    value: message.value,
    headers: (message.headers as unknown as readonly WireHeader[] | undefined) ?? [],
  }
}
