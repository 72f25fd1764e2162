import { isMeshError } from '../core/errors.ts'
import type { RecordBatch } from '../core/record.ts'
import type { ReadProgress } from './consumer-lag.ts'
import { createLane, createLaneWork, type Lane, type LaneWorkDeps, laneKey } from './lane-work.ts'
import type { AssignedPartition, Assignment, GroupConsumerOptions, TopicPartition } from './port.ts'
import { realScheduler, type Scheduler } from './scheduler.ts'
import { createStallWatch } from './stall-watch.ts'
import { createTopicIdentity, type IdentitySource } from './topic-identity.ts'

/** What the loop asks of a client, whichever it is. */
export type GroupClient = IdentitySource &
  LaneWorkDeps['client'] & {
    /** Facts of assigned partitions: committed offset, log start, high watermark, topic id. */
    describe(partitions: readonly TopicPartition[]): Promise<AssignedPartition[]>
    /** Whether the group says at this moment that these partitions are this member's. */
    holds(partitions: readonly TopicPartition[]): Promise<boolean>
    seek(topic: string, partition: number, offset: number): void
    pause(topic: string, partition: number): void
    resume(topic: string, partition: number): void
  }

export type GroupLanes = {
  /** A new generation: lanes of the former one end, every assigned partition gets a new one. */
  assigned(partitions: readonly TopicPartition[]): void
  /** Takes a batch, or ignores and re-seeks when it does not start at the lane's position. False: not taken. */
  deliver(batch: Omit<RecordBatch, 'topicId'>): Promise<boolean>
  pause: (topic: string, partition: number) => void
  resume: (topic: string, partition: number) => void
  seek: (topic: string, partition: number, position: number) => void
  describe: (topic: string, partition: number) => Promise<AssignedPartition | null>
  positions: () => ReadonlyMap<string, number>
  progress: () => readonly ReadProgress[]
  /** Drains handlers and commits what they return. */
  stop(): Promise<void>
  fail(error: unknown): void
}

const DEFAULT_TICK_MS = 100
const DEFAULT_STALL_MS = 300_000
/** A member that lost its partitions knows it after a session and a rejoin. */
const DEFAULT_FENCED_MS = 15_000

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
  /** Fenced lanes that wait for what the group says. */
  const waits = new Set<() => void>()
  const identity = createTopicIdentity(client, () => scheduler.now())
  // A former generation's work too: the next one waits for it.
  const stalls = createStallWatch(options.stallMs ?? DEFAULT_STALL_MS, () => scheduler.now())
  const { enqueue, end } = createLaneWork({
    options,
    client,
    identity,
    stalls,
    onError: (lane, error) => (isFenced(error) ? fence(lane, error) : fail(error)),
  })
  const stopTicking = scheduler.every(options.tickMs ?? DEFAULT_TICK_MS, markTicks)

  function fail(error: unknown): void {
    if (failed) return
    failed = true
    stopTicking()
    stopWaiting()
    for (const lane of lanes.values()) lane.closed = true
    options.onFatal(error)
  }

  /**
   * Another owner has the partition, or has written to it: nothing more comes of this lane. One that has left is the other's to go
   * on with. Of one that has not, the group says so soon, or else the partition is opened again; a second time is fatal.
   */
  function fence(lane: Lane, error: unknown): void {
    lane.closed = true
    if (stopping || failed || lanes.get(laneKey(lane.topic, lane.partition)) !== lane) return
    const own = generation
    client.pause(lane.topic, lane.partition)
    const waitMs = options.reopens?.(error) && !lane.again ? 0 : (options.fencedMs ?? DEFAULT_FENCED_MS)
    const cancel = scheduler.after(waitMs, () => {
      waits.delete(cancel)
      if (lane.again) return fail(error)
      settled = Promise.all([settled, revoke(lane)])
        .then(() => open(own, [lane], true))
        .catch(fail)
    })
    waits.add(cancel)
  }

  function stopWaiting(): void {
    for (const cancel of waits) cancel()
    waits.clear()
  }

  function isFenced(error: unknown): boolean {
    return (isMeshError(error) && error.code === 'MESH_KAFKA_FENCED') || options.reopens?.(error) === true
  }

  function assigned(partitions: readonly TopicPartition[]): void {
    const own = ++generation
    const former = [...lanes.values()]
    lanes.clear()
    for (const lane of former) lane.closed = true
    stopWaiting()
    for (const { topic, partition } of partitions) client.pause(topic, partition)
    // What is in flight may still be writing: the same partition starts again only after it has ended.
    settled = Promise.all([settled, ...former.map(revoke)])
      .then(() => open(own, partitions))
      .catch(fail)
  }

  async function revoke(lane: Lane): Promise<void> {
    await lane.tail
    await end(lane, 'revoked')
  }

  async function open(own: number, partitions: readonly TopicPartition[], again = false): Promise<void> {
    const isStale = (): boolean => own !== generation || failed || stopping
    if (isStale()) return
    const described = await client.describe(partitions)
    if (isStale()) return
    identity.begin(described)
    await Promise.all(described.map((assignedPartition) => openLane(assignedPartition, again)))
  }

  /** A lane that is overtaken by a generation, a failure or a stop while it opens is never fetched; whoever overtook closes it. */
  async function openLane(assignedPartition: AssignedPartition, again: boolean): Promise<void> {
    const { topic, partition } = assignedPartition
    const lane = createLane(assignedPartition, again)
    lanes.set(laneKey(topic, partition), lane)
    const begin = (assignment: Assignment): void => {
      lane.handler = assignment.handler
      lane.position = assignment.position
      lane.paused = assignment.paused ?? false
      if (lane.closed || stopping) return
      client.seek(topic, partition, lane.position)
      if (!lane.paused) client.resume(topic, partition)
    }
    lane.tail = options.assign(assignedPartition).then(begin, (error: unknown) => {
      // Of a lane that was overtaken it says nothing: whoever opens the partition next finds out.
      if (isFenced(error) || (lane.closed && isMeshError(error))) fence(lane, error)
      else throw error
    })
    await lane.tail
  }

  /** What was committed before the group was asked whose the partition is, nobody else has moved since. */
  async function describe(topic: string, partition: number): Promise<AssignedPartition | null> {
    const lane = lanes.get(laneKey(topic, partition))
    if (lane === undefined || lane.closed) return null
    const [described] = await client.describe([{ topic, partition }])
    if (!(await client.holds([{ topic, partition }]))) return null
    await identity.check(topic, lane.topicId)
    return lane.closed ? null : described!
  }

  async function deliver(batch: Omit<RecordBatch, 'topicId'>): Promise<boolean> {
    const lane = lanes.get(laneKey(batch.topic, batch.partition))
    if (stopping || !lane || lane.closed || lane.paused || lane.handler === null) return false
    const isNext = (): boolean => {
      if (batch.firstOffset === lane.position) return true
      client.seek(batch.topic, batch.partition, lane.position)
      return false
    }
    if (!isNext()) return false
    let taken = true
    await enqueue(lane, async (handler) => {
      // Work before it may have sought another position.
      if (!(taken = isNext())) return null
      const { seeks } = lane
      const progress = await handler.process({ ...batch, topicId: lane.topicId })
      if (lane.seeks === seeks) lane.position = batch.nextOffset
      lane.timestamp = batch.records.at(-1)?.timestamp ?? lane.timestamp
      return progress
    })
    return taken && !lane.closed
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

  async function closeLane(lane: Lane): Promise<void> {
    await enqueue(lane, () => end(lane, 'stopping'))
    lane.closed = true
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
    describe,
    progress: () =>
      [...lanes.values()]
        .filter(({ position }) => position >= 0)
        .map(({ topic, partition, position, timestamp }) => ({ topic, partition, position, timestamp })),
    positions: () =>
      new Map([...lanes].filter(([, lane]) => lane.position >= 0).map(([key, lane]) => [key, lane.position])),
    async stop() {
      stopping = true
      stopTicking()
      stopWaiting()
      await settled
      await Promise.all([...lanes.values()].map(closeLane))
      // A rejoin in between took the lanes over.
      await settled
    },
  }
}
