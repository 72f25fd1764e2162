import { isMeshError, MeshError } from '../core/errors.ts'
import type { RecordBatch } from '../core/record.ts'
import type { ReadProgress } from './consumer-lag.ts'
import type {
  AssignedPartition,
  Assignment,
  GroupConsumerOptions,
  PartitionHandler,
  Progress,
  TopicPartition,
} from './port.ts'
import { realScheduler, type Scheduler } from './scheduler.ts'
import { createStallWatch } from './stall-watch.ts'
import { createTopicIdentity, type IdentitySource } from './topic-identity.ts'

/** What the loop asks of a client, whichever it is. */
export type GroupClient = IdentitySource & {
  /** Facts of assigned partitions: committed offset, log start, high watermark, topic id. */
  describe(partitions: readonly TopicPartition[]): Promise<AssignedPartition[]>
  /**
   * Resolves false when the group no longer accepts commits of this member's generation. The request's generation is the one
   * at the time of the call: nothing is awaited before it is fixed.
   */
  commit(topic: string, partition: number, progress: Progress): Promise<boolean>
  seek(topic: string, partition: number, offset: number): void
  pause(topic: string, partition: number): void
  resume(topic: string, partition: number): void
}

type Lane = TopicPartition & {
  readonly topicId: string
  position: number
  /** How often it was sought: work that began before one does not move the position. */
  seeks: number
  /** Of the last record handed over. */
  timestamp: number | null
  handler: PartitionHandler | null
  /** Set for good when the partition leaves or the loop fails: nothing of this lane is committed any more. */
  closed: boolean
  /** The handler's `close` has been called. */
  ended: boolean
  /** The user's wish. */
  paused: boolean
  tickDue: boolean
  /** Work of the lane, one piece after another. */
  tail: Promise<void>
}

export type GroupLanes = {
  /** A new generation: lanes of the former one end, every assigned partition gets a new one. */
  assigned(partitions: readonly TopicPartition[]): void
  /** Takes a batch, or ignores and re-seeks when it does not start at the lane's position. False: not taken. */
  deliver(batch: Omit<RecordBatch, 'topicId'>): Promise<boolean>
  pause: (topic: string, partition: number) => void
  resume: (topic: string, partition: number) => void
  seek: (topic: string, partition: number, position: number) => void
  positions: () => ReadonlyMap<string, number>
  progress: () => readonly ReadProgress[]
  /** Drains handlers and commits what they return. */
  stop(): Promise<void>
  fail(error: unknown): void
}

/** The broker's limit. */
export const MAX_METADATA_BYTES = 4096
const DEFAULT_TICK_MS = 100
const DEFAULT_STALL_MS = 300_000

/**
 * The consuming loop, written once for every client: assign, process, commit as the last line. Work of one partition never
 * overlaps, results of a former generation are not committed, and after a failure nothing is.
 */
export function createGroupLanes(
  options: GroupConsumerOptions,
  client: GroupClient,
  scheduler: Scheduler = realScheduler,
): GroupLanes {
  const lanes = new Map<string, Lane>()
  let failed = false
  let stopping = false
  let generation = 0
  /** Everything begun for the generations so far: work in flight, closing of former lanes, opening of new ones. */
  let settled: Promise<unknown> = Promise.resolve()
  const identity = createTopicIdentity(client, () => scheduler.now())
  // A former generation's work too: the next one waits for it.
  const stalls = createStallWatch(options.stallMs ?? DEFAULT_STALL_MS, () => scheduler.now())
  const stopTicking = scheduler.every(options.tickMs ?? DEFAULT_TICK_MS, markTicks)

  function fail(error: unknown): void {
    if (failed) return
    failed = true
    stopTicking()
    for (const lane of lanes.values()) lane.closed = true
    options.onFatal(error)
  }

  function assigned(partitions: readonly TopicPartition[]): void {
    const own = ++generation
    const former = [...lanes.values()]
    lanes.clear()
    for (const lane of former) lane.closed = true
    for (const { topic, partition } of partitions) client.pause(topic, partition)
    // What is in flight may still be writing: the same partition starts again only after it has ended.
    settled = Promise.all([settled, ...former.map(revoke)])
      .then(() => open(own, partitions))
      .catch(fail)
  }

  async function revoke(lane: Lane): Promise<void> {
    await lane.tail
    await endHandler(lane, 'revoked')
  }

  async function open(own: number, partitions: readonly TopicPartition[]): Promise<void> {
    const isStale = (): boolean => own !== generation || failed || stopping
    if (isStale()) return
    const described = await client.describe(partitions)
    if (isStale()) return
    identity.begin(described)
    await Promise.all(described.map(openLane))
  }

  /** A lane that is overtaken by a generation, a failure or a stop while it opens is never fetched; whoever overtook closes it. */
  async function openLane(assignedPartition: AssignedPartition): Promise<void> {
    const { topic, partition, topicId } = assignedPartition
    const lane: Lane = {
      topic,
      partition,
      topicId,
      position: -1,
      seeks: 0,
      timestamp: null,
      handler: null,
      closed: false,
      ended: false,
      paused: false,
      tickDue: false,
      tail: Promise.resolve(),
    }
    lanes.set(laneKey(topic, partition), lane)
    lane.tail = options.assign(assignedPartition).then((assignment: Assignment) => {
      lane.handler = assignment.handler
      lane.position = assignment.position
      lane.paused = assignment.paused ?? false
      if (lane.closed || stopping) return
      client.seek(topic, partition, lane.position)
      if (!lane.paused) client.resume(topic, partition)
    })
    await lane.tail
  }

  async function deliver(batch: Omit<RecordBatch, 'topicId'>): Promise<boolean> {
    const lane = lanes.get(laneKey(batch.topic, batch.partition))
    if (stopping || !lane || lane.closed || lane.paused || lane.handler === null) return false
    if (batch.firstOffset !== lane.position) {
      client.seek(batch.topic, batch.partition, lane.position)
      return false
    }
    await enqueue(lane, async (handler) => {
      const { seeks } = lane
      const progress = await handler.process({ ...batch, topicId: lane.topicId })
      if (lane.seeks === seeks) lane.position = batch.nextOffset
      lane.timestamp = batch.records.at(-1)?.timestamp ?? lane.timestamp
      return progress
    })
    return !lane.closed
  }

  function markTicks(): void {
    void identity.watch().then((error) => error && fail(error))
    const stalled = stalls.stalled()
    if (stalled) fail(stalled)
    for (const lane of lanes.values()) {
      if (lane.tickDue || lane.closed || !lane.handler?.tick) continue
      lane.tickDue = true
      void enqueue(lane, (handler) => {
        lane.tickDue = false
        return handler.tick!()
      })
    }
  }

  function enqueue(lane: Lane, work: (handler: PartitionHandler) => Promise<Progress | null>): Promise<void> {
    lane.tail = lane.tail.then(async () => {
      if (lane.closed || lane.handler === null) return
      const { handler } = lane
      try {
        await stalls.watch(laneKey(lane.topic, lane.partition), async () => settle(lane, handler, await work(handler)))
      } catch (error) {
        lane.closed = true
        fail(error)
      }
    })
    return lane.tail
  }

  async function settle(lane: Lane, handler: PartitionHandler, progress: Progress | null): Promise<void> {
    if (progress === null || lane.closed) return
    if (Buffer.byteLength(progress.metadata) > MAX_METADATA_BYTES) {
      throw new MeshError('MESH_INTERNAL', `offset metadata is longer than the broker's ${MAX_METADATA_BYTES} bytes`, {
        place: `${lane.topic}/${lane.partition}`,
      })
    }
    await identity.check(lane.topic, lane.topicId)
    // The last look before the request: a generation that began meanwhile must not carry work of a former one.
    if (lane.closed) return
    if (await commit(lane, progress)) await handler.committed?.(progress)
    else lane.closed = true
  }

  async function commit(lane: Lane, progress: Progress): Promise<boolean> {
    const { topic, partition } = lane
    if (!options.commit) return client.commit(topic, partition, progress)
    try {
      return await options.commit({ topic, partition }, progress)
    } catch (error) {
      // The partition has left and its next owner has begun: it settles what this commit was.
      if (lane.closed && isMeshError(error) && error.code === 'MESH_KAFKA_FENCED') return false
      throw error
    }
  }

  async function closeLane(lane: Lane): Promise<void> {
    await enqueue(lane, () => endHandler(lane, 'stopping'))
    lane.closed = true
  }

  async function endHandler(lane: Lane, reason: 'revoked' | 'stopping'): Promise<Progress | null> {
    if (lane.ended) return null
    lane.ended = true
    return (await lane.handler?.close?.(reason)) ?? null
  }

  return {
    assigned,
    deliver,
    fail,
    pause(topic, partition) {
      const lane = lanes.get(laneKey(topic, partition))
      if (lane) lane.paused = true
      client.pause(topic, partition)
    },
    resume(topic, partition) {
      const lane = lanes.get(laneKey(topic, partition))
      if (!lane) return
      lane.paused = false
      client.seek(topic, partition, lane.position)
      client.resume(topic, partition)
    },
    seek(topic, partition, position) {
      const lane = lanes.get(laneKey(topic, partition))
      if (!lane) return
      lane.position = position
      lane.seeks++
    },
    progress: () =>
      [...lanes.values()]
        .filter(({ position }) => position >= 0)
        .map(({ topic, partition, position, timestamp }) => ({ topic, partition, position, timestamp })),
    positions: () =>
      new Map([...lanes].filter(([, lane]) => lane.position >= 0).map(([key, lane]) => [key, lane.position])),
    async stop() {
      stopping = true
      stopTicking()
      await settled
      await Promise.all([...lanes.values()].map(closeLane))
      // A rejoin in between took the lanes over.
      await settled
    },
  }
}

function laneKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
}
