import { Admin as PlatformaticAdmin } from '@platformatic/kafka'
import type * as KafkaJs from 'kafkajs'
import { MeshError } from '../core/errors.ts'
import { type AskAgain, askAgain } from './ask-again.ts'
import type { KafkaConnection } from './connection.ts'
import type { TransactionWire } from './lost-markers.ts'
import type { Committed, KafkaAdmin, PartitionOffsets, TopicSpec } from './port.ts'
import { alterTopicConfig, readTopicConfig } from './topic-config.ts'
import { createTransactionWire } from './transaction-wire.ts'

const READ_UNCOMMITTED = 0
const READ_COMMITTED = 1
const LATEST = -1n
const EARLIEST = -2n
const NO_OFFSET = -1
const SASL = { plain: 'PLAIN', 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512' } as const
/**
 * Metadata of a topic that was just created, or whose leader moved, is behind for a moment, and so is an offset whose transaction
 * is being ended.
 */
const STALE: AskAgain = {
  passing: new Set([
    'NOT_LEADER_FOR_PARTITION',
    'LEADER_NOT_AVAILABLE',
    'UNKNOWN_TOPIC_OR_PARTITION',
    'UNSTABLE_OFFSET_COMMIT',
  ]),
  pauseMs: { first: 100, most: 100 },
  forMs: 10_000,
}

export type KafkaJsAdmin = KafkaAdmin & {
  /** The offset as the last ended transaction left it; waits, for some seconds, while one holds an offset that is not decided. */
  stableCommitted(group: string, topic: string, partition: number): Promise<Committed | null>
  readonly transactions: TransactionWire
  close(): Promise<void>
}

/** kafkajs's admin for what it can do; topic ids and log offsets from a client that speaks newer protocol versions. */
export function createKafkaJsAdmin(
  client: KafkaJs.Kafka,
  { brokers, clientId, tls, sasl }: KafkaConnection,
): KafkaJsAdmin {
  const admin = client.admin({ retry: { retries: 6, initialRetryTime: 100, maxRetryTime: 2000 } })
  let connected: Promise<void> | null = null
  let other: PlatformaticAdmin | null = null

  async function connect(): Promise<KafkaJs.Admin> {
    connected ??= admin.connect()
    await connected
    return admin
  }

  function newer(): PlatformaticAdmin {
    other ??= new PlatformaticAdmin({
      clientId: `${clientId}-admin`,
      bootstrapBrokers: [...brokers],
      retries: 6,
      retryDelay: 200,
      timeout: 10_000,
      ...(tls ? { tls: tls === true ? {} : { ...tls } } : {}),
      ...(sasl ? { sasl: { ...sasl, mechanism: SASL[sasl.mechanism] } } : {}),
    })
    return other
  }

  async function listTopics(): Promise<string[]> {
    // Without an answer kafkajs fails by a TypeError.
    return unlessAway('listing topics', async () => (await connect()).listTopics())
  }

  async function partitionCount(topic: string): Promise<number> {
    if (!(await listTopics()).includes(topic)) return 0
    const { topics } = await newer().metadata({ topics: [topic], forceUpdate: true })
    return topics.get(topic)?.partitionsCount ?? 0
  }

  async function absent(specs: readonly TopicSpec[]): Promise<TopicSpec[]> {
    const existing = new Set(await listTopics())
    return specs.filter((spec) => !existing.has(spec.name))
  }

  async function create(specs: readonly TopicSpec[]): Promise<void> {
    const missing = await absent(specs)
    if (missing.length === 0) return
    const topics = missing.map(({ name, partitions, config }) => ({
      topic: name,
      numPartitions: partitions,
      configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
    }))
    try {
      await (await connect()).createTopics({ waitForLeaders: true, topics })
    } catch (error) {
      // Another process may have created one in between; what counts is that all are there.
      if ((await absent(missing)).length > 0) throw error
    }
  }

  /** Per partition the offset at a time; kafkajs's admin would ask read_committed for all of them. */
  async function listOffsets(topic: string, timestamp: bigint, isolationLevel: 0 | 1): Promise<Map<number, number>> {
    const count = await partitionCount(topic)
    const partitions = Array.from({ length: count }, (_, i) => ({ partitionIndex: i, timestamp }))
    const listed = await newer().listOffsets({ topics: [{ name: topic, partitions }], isolationLevel })
    return new Map(listed[0]?.partitions.map((p) => [p.partitionIndex, Number(p.offset)]))
  }

  return {
    listTopics,
    partitionCount,
    async topicIds(topics) {
      if (topics.length === 0) return new Map()
      const existing = new Set(await listTopics())
      const asked = topics.filter((topic) => existing.has(topic))
      if (asked.length === 0) return new Map()
      const { topics: found } = await newer().metadata({ topics: asked, forceUpdate: true })
      return new Map(asked.flatMap((topic) => (found.get(topic)?.id ? [[topic, found.get(topic)!.id] as const] : [])))
    },
    async ensureTopics(specs: readonly TopicSpec[]) {
      const missing = await absent(specs)
      // A topic that was deleted a moment ago may be shown as unknown right after its creation.
      if (missing.length > 0) await settled(() => create(missing))
      return missing.map((spec) => spec.name)
    },
    async deleteTopics(topics) {
      const existing = new Set(await listTopics())
      const doomed = topics.filter((topic) => existing.has(topic))
      if (doomed.length > 0) await (await connect()).deleteTopics({ topics: doomed })
    },
    topicConfig: (topic) => settled(() => readTopicConfig(newer(), topic)),
    alterTopicConfig: (topic, changes) => settled(() => alterTopicConfig(newer(), topic, changes)),
    async offsets(topic): Promise<PartitionOffsets[]> {
      // The stable offset is asked first: what is written in between moves the high watermark away from it.
      const stable = await settled(() => listOffsets(topic, LATEST, READ_COMMITTED))
      const high = await settled(() => listOffsets(topic, LATEST, READ_UNCOMMITTED))
      const low = await settled(() => listOffsets(topic, EARLIEST, READ_UNCOMMITTED))
      return [...high]
        .map(([partition, end]) => inOrder(partition, low.get(partition), stable.get(partition), end))
        .sort((a, b) => a.partition - b.partition)
    },
    async offsetsAtTime(topic, timestamp) {
      // Ends first: a record that comes in between is found by its time or lies behind the end.
      const ends = await settled(() => listOffsets(topic, LATEST, READ_UNCOMMITTED))
      const found = await settled(() => listOffsets(topic, BigInt(timestamp), READ_UNCOMMITTED))
      return new Map(
        [...found].map(([partition, offset]) => [
          partition,
          offset === NO_OFFSET ? (ends.get(partition) ?? 0) : offset,
        ]),
      )
    },
    async committed(group, topic) {
      // All topics of the group: naming one makes kafkajs refresh its metadata for ever, and fail once it is deleted.
      const all = await unlessAway(`reading the offsets of ${group}`, async () =>
        (await connect()).fetchOffsets({ groupId: group }),
      )
      const found = all.find((entry) => entry.topic === topic)
      const committed = new Map<number, Committed>()
      for (const { partition, offset, metadata } of found?.partitions ?? []) {
        if (Number(offset) >= 0) committed.set(partition, { offset: Number(offset), metadata: metadata ?? '' })
      }
      return committed
    },
    transactions: createTransactionWire(newer),
    async stableCommitted(group, topic, partition) {
      const topics = [{ name: topic, partitionIndexes: [partition] }]
      const groups = [{ groupId: group, topics }]
      const listed = await settled(() => newer().listConsumerGroupOffsets({ groups, requireStable: true }))
      const found = listed[0]?.topics[0]?.partitions[0]
      if (!found || found.committedOffset < 0n) return null
      return { offset: Number(found.committedOffset), metadata: found.metadata ?? '' }
    },
    async deleteGroups(groups) {
      if (groups.length === 0) return
      await (await connect()).deleteGroups([...groups]).catch((error: unknown) => {
        // A group without commits is gone by itself once its last member has left.
        const failures = (error as { groups?: { error?: { type?: string } }[] }).groups ?? []
        if (failures.length === 0 || failures.some((failure) => failure.error?.type !== 'GROUP_ID_NOT_FOUND')) {
          throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'deleting consumer groups', { cause: error })
        }
      })
    },
    async close() {
      if (connected) await admin.disconnect()
      await other?.close()
    },
  }
}

/** @throws MeshError MESH_KAFKA_UNAVAILABLE: kafkajs has asked as often as it does, and says why in words of its own. */
async function unlessAway<T>(doing: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    throw new MeshError('MESH_KAFKA_UNAVAILABLE', doing, { cause: error })
  }
}

/** low ≤ stable ≤ high, also when retention or a deletion moved one between the questions. */
function inOrder(
  partition: number,
  low: number | undefined,
  stable: number | undefined,
  high: number,
): PartitionOffsets {
  const logStartOffset = Math.min(low ?? 0, high)
  const lastStableOffset = Math.min(Math.max(stable ?? high, logStartOffset), high)
  return { partition, logStartOffset, highWatermark: high, lastStableOffset }
}

const settled = <T>(ask: () => Promise<T>): Promise<T> => askAgain(ask, STALE)
