import { randomUUID } from 'node:crypto'
import { MeshError } from '../core/errors.ts'
import type { KafkaRecord, RecordToSend } from '../core/record.ts'
import { follow, readRanges } from '../kafka/bounded-reads.ts'
import { coPartition } from '../kafka/co-partition.ts'
import { createGroupLanes, type GroupLanes, type TopicPartition } from '../kafka/group-lanes.ts'
import type { Committed, GroupConsumer, GroupConsumerOptions, KafkaAdmin, KafkaPort, Producer } from '../kafka/port.ts'

type Log = { readonly records: KafkaRecord[]; logStart: number; end: number }
type Topic = { id: string; readonly partitions: Log[]; readonly config: Readonly<Record<string, string>> }
type Member = {
  readonly id: string
  readonly topics: readonly string[]
  readonly lanes: GroupLanes
  wake(): void
  assigned: TopicPartition[]
}
type Group = { readonly committed: Map<string, Committed>; members: Member[] }

/** The port over arrays, with what a test wants to see and break. One process, no transactions. */
export type MemoryKafka = KafkaPort & {
  /** Records of a partition, as they lie there. */
  log(topic: string, partition: number): readonly KafkaRecord[]
  /** Retention: records below `before` are gone. */
  trim(topic: string, partition: number, before: number): void
  /** Deletes and creates a topic: same name, new id, offsets from 0. */
  recreate(topic: string): void
  /** The next sends fail with this error until it is null: before writing, or after (outcome unknown). */
  failSends(error: Error | null, when?: 'before' | 'after'): void
}

const BATCH_RECORDS = 500
const MAX_RECORD_BYTES = 4_194_304

export function createMemoryKafka(now: () => number = Date.now): MemoryKafka {
  const topics = new Map<string, Topic>()
  const groups = new Map<string, Group>()
  const consumers = new Set<GroupConsumer>()
  let sendFailure: { error: Error; when: 'before' | 'after' } | null = null

  function topicOf(name: string): Topic {
    const topic = topics.get(name)
    if (!topic) throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'there is no such topic', { place: name })
    return topic
  }

  function logOf(topic: string, partition: number): Log {
    const log = topicOf(topic).partitions[partition]
    if (!log)
      throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'there is no such partition', { place: `${topic}/${partition}` })
    return log
  }

  function append(topic: string, record: RecordToSend): number {
    const log = logOf(topic, record.partition)
    const { key, value, headers } = record
    const offset = log.end++
    log.records.push({ offset, timestamp: record.timestamp ?? now(), key, value, headers })
    return offset
  }

  function wakeAll(): void {
    for (const group of groups.values()) for (const member of group.members) member.wake()
  }

  function producer(): Promise<Producer> {
    let tail: Promise<unknown> = Promise.resolve()
    const send = (topic: string, records: readonly RecordToSend[]): Promise<number[]> => {
      const sent = tail.then(() => {
        if (sendFailure?.when === 'before') throw sendFailure.error
        for (const { value } of records) {
          if ((value?.byteLength ?? 0) > MAX_RECORD_BYTES)
            throw new MeshError('MESH_KAFKA_RECORD_TOO_LARGE', 'the record is too large')
        }
        const offsets = records.map((record) => append(topic, record))
        wakeAll()
        if (sendFailure) throw sendFailure.error
        return offsets
      })
      tail = sent.catch(() => undefined)
      return sent
    }
    return Promise.resolve({ send, close: () => tail.then(() => undefined) })
  }

  function groupOf(id: string): Group {
    const group = groups.get(id) ?? { committed: new Map<string, Committed>(), members: [] }
    groups.set(id, group)
    return group
  }

  function rebalance(group: Group): void {
    if (group.members.length === 0) return
    const names = [...new Set(group.members.flatMap((member) => member.topics))]
    const partitionsOf = Object.fromEntries(
      names.map((name) => [name, topics.get(name)?.partitions.map((_, i) => i) ?? []]),
    )
    const assignment = coPartition(
      group.members.map((member) => member.id),
      partitionsOf,
    )
    for (const member of group.members) {
      member.assigned = Object.entries(assignment[member.id]!).flatMap(([topic, own]) =>
        own.map((partition) => ({ topic, partition })),
      )
      member.lanes.assigned(member.assigned)
    }
  }

  function consumer(options: GroupConsumerOptions): GroupConsumer {
    const group = groupOf(options.groupId)
    const flowing = new Map<string, number>()
    const keyOf = (topic: string, partition: number): string => `${topic}/${partition}`
    let pumping = false
    let again = false
    let ended = false

    const lanes = createGroupLanes(
      {
        ...options,
        onFatal(error) {
          leave()
          options.onFatal(error)
        },
      },
      {
        describe: (partitions) =>
          Promise.resolve(
            partitions.map(({ topic, partition }) => {
              const { logStart, end } = logOf(topic, partition)
              const committed = group.committed.get(keyOf(topic, partition)) ?? null
              return {
                topic,
                topicId: topicOf(topic).id,
                partition,
                committed,
                logStartOffset: logStart,
                highWatermark: end,
              }
            }),
          ),
        topicIds: () => admin.topicIds(options.topics),
        topicIdsHoldMs: 0,
        commit(topic, partition, { nextOffset, metadata }) {
          if (ended || !group.members.includes(member)) return Promise.resolve(false)
          group.committed.set(keyOf(topic, partition), { offset: nextOffset, metadata })
          return Promise.resolve(true)
        },
        seek(topic, partition, offset) {
          flowing.set(keyOf(topic, partition), offset)
          member.wake()
        },
        pause: (topic, partition) => void flowing.delete(keyOf(topic, partition)),
        resume(topic, partition) {
          flowing.set(keyOf(topic, partition), lanes.positions().get(keyOf(topic, partition)) ?? 0)
          member.wake()
        },
      },
    )
    const member: Member = {
      id: randomUUID(),
      topics: options.topics,
      lanes,
      assigned: [],
      wake() {
        again = true
        if (!pumping) void pump()
      },
    }

    async function pump(): Promise<void> {
      pumping = true
      while (again && !ended) {
        again = false
        await Promise.all(member.assigned.map(({ topic, partition }) => pumpOne(topic, partition)))
      }
      pumping = false
    }

    async function pumpOne(topic: string, partition: number): Promise<void> {
      const position = flowing.get(keyOf(topic, partition))
      if (position === undefined) return
      const log = logOf(topic, partition)
      if (position < log.logStart || position > log.end) {
        const place = keyOf(topic, partition)
        return lanes.fail(new MeshError('MESH_KAFKA_OFFSET_OUT_OF_RANGE', 'the position is not in the log', { place }))
      }
      const records = log.records.filter((record) => record.offset >= position).slice(0, BATCH_RECORDS)
      if (records.length === 0) return
      const nextOffset = records.at(-1)!.offset + 1
      // Not taken: the lane wakes the pump itself when it seeks or resumes.
      if (await lanes.deliver({ topic, partition, firstOffset: position, nextOffset, records })) {
        again = true
        if (flowing.get(keyOf(topic, partition)) === position) flowing.set(keyOf(topic, partition), nextOffset)
      }
    }

    function leave(): void {
      ended = true
      group.members = group.members.filter((other) => other !== member)
      rebalance(group)
    }

    const own: GroupConsumer = {
      start() {
        for (const topic of options.topics) topicOf(topic)
        group.members.push(member)
        consumers.add(own)
        rebalance(group)
        return Promise.resolve()
      },
      async stop() {
        if (ended) return
        await lanes.stop()
        consumers.delete(own)
        leave()
      },
      resume: lanes.resume,
      pause: lanes.pause,
      positions: lanes.positions,
    }
    return own
  }

  const admin: KafkaAdmin = {
    topicIds: (names) =>
      Promise.resolve(new Map(names.flatMap((name) => (topics.has(name) ? [[name, topicOf(name).id] as const] : [])))),
    listTopics: () => Promise.resolve([...topics.keys()]),
    partitionCount: (topic) => Promise.resolve(topics.get(topic)?.partitions.length ?? 0),
    ensureTopics(specs) {
      const missing = specs.filter((spec) => !topics.has(spec.name))
      for (const { name, partitions, config } of missing)
        topics.set(name, { id: randomUUID(), config, partitions: emptyLogs(partitions) })
      return Promise.resolve(missing.map((spec) => spec.name))
    },
    deleteTopics(names) {
      for (const name of names) topics.delete(name)
      return Promise.resolve()
    },
    offsets: async (topic) =>
      topicOf(topic).partitions.map(({ logStart, end }, partition) => ({
        partition,
        logStartOffset: logStart,
        highWatermark: end,
        lastStableOffset: end,
      })),
    offsetsAtTime: async (topic, timestamp) =>
      new Map(
        topicOf(topic).partitions.map((log, partition) => [
          partition,
          log.records.find((record) => record.timestamp >= timestamp)?.offset ?? log.end,
        ]),
      ),
    committed(group, topic) {
      const entries = [...(groups.get(group)?.committed ?? [])].filter(([key]) => key.startsWith(`${topic}/`))
      return Promise.resolve(new Map(entries.map(([key, commit]) => [Number(key.slice(topic.length + 1)), commit])))
    },
    deleteGroups(ids) {
      for (const id of ids) groups.delete(id)
      return Promise.resolve()
    },
  }

  return {
    admin,
    producer,
    consumer,
    readRanges: (topic, ranges, onBatch) => readRanges(consumer, admin, topic, { ranges, onBatch }),
    follow: (topic, options) => follow(consumer, admin, topic, options),
    async close() {
      await Promise.all([...consumers].map((open) => open.stop()))
    },
    log: (topic, partition) => logOf(topic, partition).records,
    trim(topic, partition, before) {
      const log = logOf(topic, partition)
      log.logStart = before
      const kept = log.records.findIndex((record) => record.offset >= before)
      log.records.splice(0, kept === -1 ? log.records.length : kept)
    },
    recreate(topic) {
      const { partitions, config } = topicOf(topic)
      topics.set(topic, { id: randomUUID(), config, partitions: emptyLogs(partitions.length) })
    },
    failSends(error, when = 'before') {
      sendFailure = error === null ? null : { error, when }
    },
  }
}

function emptyLogs(count: number): Log[] {
  return Array.from({ length: count }, () => ({ records: [], logStart: 0, end: 0 }))
}
