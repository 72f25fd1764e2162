import { MeshError } from '../../core/errors.ts'
import type { ReadProgress } from '../../kafka/consumer-lag.ts'
import { createGroupLanes } from '../../kafka/group-lanes.ts'
import type {
  AssignedPartition,
  GroupConsumer,
  GroupConsumerOptions,
  Progress,
  TopicPartition,
} from '../../kafka/port.ts'
import type { Broker } from './broker.ts'
import { isBrokerError } from './broker-error.ts'
import type { Endpoint } from './endpoint.ts'
import type { Member } from './group-coordinator.ts'
import type { PartitionLog } from './partition-log.ts'

export type MemoryConsumer = GroupConsumer & {
  progress(): readonly ReadProgress[]
  /** The broker heard nothing of the process for the length of a session. */
  expel(): void
  /** The process goes on: a member that was expelled joins again. */
  rejoin(): void
}

const BATCH_RECORDS = 500
const RETRY_MS = 20

export function createMemoryConsumer(
  broker: Broker,
  endpoint: Endpoint,
  options: GroupConsumerOptions,
): MemoryConsumer {
  const { groupId } = options
  /** Position of the next fetch of every partition that flows. */
  const flowing = new Map<string, number>()
  const pumping = new Set<string>()
  /** Partitions that were woken while they were pumped: by what came, a seek or a resume. */
  const woken = new Set<string>()
  let assigned: readonly TopicPartition[] = []
  let generation = 0
  let state: 'new' | 'joined' | 'expelled' | 'ended' = 'new'

  const lanes = createGroupLanes(
    {
      ...options,
      onFatal(error) {
        leave()
        options.onFatal(error)
      },
    },
    {
      describe: (partitions) => endpoint.call('offset-fetch', () => partitions.map(describe)),
      topicIds: () =>
        endpoint.call(
          'metadata',
          () => new Map(options.topics.filter((t) => broker.topics.has(t)).map((t) => [t, broker.topic(t).id])),
        ),
      topicIdsHoldMs: 0,
      commit,
      holds: (partitions) => endpoint.call('describe-group', () => partitions.every(isHeld)),
      seek(topic, partition, offset) {
        // A paused partition is fetched from where its lane stands when it is resumed.
        if (flowing.has(`${topic}/${partition}`)) flowing.set(`${topic}/${partition}`, offset)
        wake()
      },
      pause: (topic, partition) => void flowing.delete(`${topic}/${partition}`),
      resume(topic, partition) {
        flowing.set(`${topic}/${partition}`, lanes.positions().get(`${topic}/${partition}`) ?? 0)
        wake()
      },
    },
    endpoint.scheduler,
  )
  const member: Member = {
    id: broker.nextMemberId(),
    topics: options.topics,
    wake,
    assigned: (partitions, next) =>
      endpoint.whenRunning(() => {
        // What it was told of a former membership, and hears once it has joined again, is over.
        if (state !== 'joined' || next <= generation) return
        generation = next
        assigned = partitions
        lanes.assigned(partitions)
      }),
  }

  function describe({ topic, partition }: TopicPartition): AssignedPartition {
    const log = broker.log(topic, partition)
    return {
      topic,
      topicId: broker.topic(topic).id,
      partition,
      committed: broker.groups.committed(groupId).get(`${topic}/${partition}`) ?? null,
      logStartOffset: log.logStart(),
      highWatermark: log.end(),
    }
  }

  function isHeld({ topic, partition }: TopicPartition): boolean {
    const own = assigned.some((one) => one.topic === topic && one.partition === partition)
    return own && broker.groups.isCurrent(groupId, { member, generation })
  }

  async function commit(topic: string, partition: number, { nextOffset, metadata }: Progress): Promise<boolean> {
    if (state !== 'joined') return false
    const from = { member, generation }
    const committed = { offset: nextOffset, metadata }
    try {
      await endpoint.call('offset-commit', () =>
        broker.groups.commit(groupId, from, `${topic}/${partition}`, committed),
      )
      return true
    } catch (error) {
      if (isBrokerError(error, 'ILLEGAL_GENERATION')) return false
      // A repetition says the same: it is sent again, unless the generation is over.
      if (!isBrokerError(error, 'REQUEST_TIMED_OUT') || generation !== from.generation) throw error
      return commit(topic, partition, { nextOffset, metadata })
    }
  }

  function wake(): void {
    for (const { topic, partition } of assigned) {
      const place = `${topic}/${partition}`
      if (pumping.has(place)) woken.add(place)
      else if (flowing.has(place)) void pump(topic, partition)
    }
  }

  /** Fetches and delivers until there is nothing more: appends, seeks and resumes wake it again. */
  async function pump(topic: string, partition: number): Promise<void> {
    const place = `${topic}/${partition}`
    pumping.add(place)
    let position = flowing.get(place)
    while (position !== undefined && state === 'joined') {
      woken.delete(place)
      const more = await pumpOnce(topic, partition, position)
      position = flowing.get(place)
      // Asked here, in the turn in which the pump comes to rest: what comes after it finds none, and wakes one.
      if (!more && !woken.has(place)) break
    }
    pumping.delete(place)
  }

  /** False when there is nothing to do until something wakes the pump. */
  async function pumpOnce(topic: string, partition: number, position: number): Promise<boolean> {
    const place = `${topic}/${partition}`
    let fetched: ReturnType<typeof fetch>
    try {
      fetched = await endpoint.call('fetch', () => fetch(topic, partition, position))
    } catch (error) {
      if (!isBrokerError(error, 'REQUEST_TIMED_OUT')) {
        lanes.fail(error)
        return false
      }
      endpoint.scheduler.after(RETRY_MS, wake)
      return false
    }
    if (!fetched.inLog) {
      lanes.fail(new MeshError('MESH_KAFKA_OFFSET_OUT_OF_RANGE', 'the position is not in the log', { place }))
      return false
    }
    // It was sought elsewhere while the fetch was under way.
    if (flowing.get(place) !== position) return true
    const { nextOffset, records } = fetched
    if (nextOffset === position) return false
    // Not taken: the lane seeks or resumes when it wants more.
    const taken = await lanes.deliver({ topic, partition, firstOffset: position, nextOffset, records })
    if (taken && flowing.get(place) === position) flowing.set(place, nextOffset)
    return taken
  }

  function fetch(
    topic: string,
    partition: number,
    position: number,
  ): ReturnType<PartitionLog['read']> & { inLog: boolean } {
    const log = broker.log(topic, partition)
    const inLog = position >= log.logStart() && position <= log.end()
    return { inLog, ...log.read(position, BATCH_RECORDS) }
  }

  function leave(): void {
    state = 'ended'
    broker.groups.leave(groupId, member)
  }

  return {
    async start() {
      await endpoint.call('metadata', () => options.topics.map((topic) => broker.topic(topic)))
      state = 'joined'
      broker.groups.join(groupId, member)
    },
    async stop() {
      if (state === 'ended') return
      await lanes.stop()
      leave()
    },
    expel: () => {
      if (state !== 'joined') return
      state = 'expelled'
      broker.groups.leave(groupId, member)
    },
    rejoin: () => {
      if (state !== 'expelled') return
      state = 'joined'
      broker.groups.join(groupId, member)
    },
    progress: () => (state === 'ended' ? [] : lanes.progress()),
    resume: lanes.resume,
    pause: lanes.pause,
    seek: lanes.seek,
    describe: lanes.describe,
    positions: lanes.positions,
  }
}
