import { Admin as PlatformaticAdmin } from '@platformatic/kafka'
import type * as KafkaJs from 'kafkajs'
import { MeshError } from '../core/errors.ts'
import type { Committed, KafkaAdmin, PartitionOffsets, TopicSpec } from './port.ts'

const READ_COMMITTED = 1
const LATEST = -1n
const NO_OFFSET = -1
/** Metadata of a topic that was just created, or whose leader moved, is behind for a moment. */
const STALE_METADATA = new Set(['NOT_LEADER_FOR_PARTITION', 'LEADER_NOT_AVAILABLE', 'UNKNOWN_TOPIC_OR_PARTITION'])
const STALE_TRIES = 40
const STALE_WAIT_MS = 100

/** kafkajs's admin for what it can do; topic ids and the last stable offset from a client that speaks newer protocol versions. */
export function createKafkaJsAdmin(
  client: KafkaJs.Kafka,
  brokers: readonly string[],
  clientId: string,
): KafkaAdmin & { close(): Promise<void> } {
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
    })
    return other
  }

  async function listTopics(): Promise<string[]> {
    return (await connect()).listTopics()
  }

  async function partitionCount(topic: string): Promise<number> {
    const { topics } = await (await connect()).fetchTopicMetadata({ topics: [topic] })
    return topics[0]?.partitions.length ?? 0
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
      const existing = new Set(await listTopics())
      const missing = specs.filter((spec) => !existing.has(spec.name))
      if (missing.length === 0) return []
      try {
        await (await connect()).createTopics({
          waitForLeaders: true,
          topics: missing.map(({ name, partitions, config }) => ({
            topic: name,
            numPartitions: partitions,
            configEntries: Object.entries(config).map(([key, value]) => ({ name: key, value })),
          })),
        })
      } catch (error) {
        // Another process may have created one in between; what counts is that all are there.
        const now = new Set(await listTopics())
        if (!missing.every((spec) => now.has(spec.name))) throw error
      }
      return missing.map((spec) => spec.name)
    },
    async deleteTopics(topics) {
      const existing = new Set(await listTopics())
      const doomed = topics.filter((topic) => existing.has(topic))
      if (doomed.length > 0) await (await connect()).deleteTopics({ topics: doomed })
    },
    async offsets(topic): Promise<PartitionOffsets[]> {
      const found = await settled(async () => (await connect()).fetchTopicOffsets(topic))
      const partitions = found.map((entry) => ({ partitionIndex: entry.partition, timestamp: LATEST }))
      const listed = await newer().listOffsets({
        topics: [{ name: topic, partitions }],
        isolationLevel: READ_COMMITTED,
      })
      const stable = new Map(listed[0]?.partitions.map((p) => [p.partitionIndex, Number(p.offset)]))
      return found
        .map(({ partition, low, high }) => ({
          partition,
          logStartOffset: Number(low),
          highWatermark: Number(high),
          lastStableOffset: stable.get(partition) ?? Number(high),
        }))
        .sort((a, b) => a.partition - b.partition)
    },
    async offsetsAtTime(topic, timestamp) {
      const found = await settled(async () => (await connect()).fetchTopicOffsetsByTimestamp(topic, timestamp))
      const ends = new Map(
        (await settled(() => admin.fetchTopicOffsets(topic))).map((entry) => [entry.partition, Number(entry.high)]),
      )
      return new Map(
        found.map(({ partition, offset }) => [
          partition,
          Number(offset) === NO_OFFSET ? ends.get(partition)! : Number(offset),
        ]),
      )
    },
    async committed(group, topic) {
      const [found] = await (await connect()).fetchOffsets({ groupId: group, topics: [topic] })
      const committed = new Map<number, Committed>()
      for (const { partition, offset, metadata } of found?.partitions ?? []) {
        if (Number(offset) !== NO_OFFSET) committed.set(partition, { offset: Number(offset), metadata: metadata ?? '' })
      }
      return committed
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

/** Asks again, for a few seconds, while the answer is that metadata is not there yet. */
async function settled<T>(ask: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await ask()
    } catch (error) {
      if (attempt >= STALE_TRIES || !isStaleMetadata(error)) throw error
      await new Promise((resolve) => setTimeout(resolve, STALE_WAIT_MS))
    }
  }
}

function isStaleMetadata(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const { type, apiId, errors } = error as { type?: string; apiId?: string; errors?: unknown[] }
  if (STALE_METADATA.has(type ?? '') || STALE_METADATA.has(apiId ?? '')) return true
  return isStaleMetadata(error.cause) || (errors ?? []).some(isStaleMetadata)
}
