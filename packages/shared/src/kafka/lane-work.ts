import { MeshError } from '../core/errors.ts'
import type { AssignedPartition, GroupConsumerOptions, PartitionHandler, Progress, TopicPartition } from './port.ts'
import type { StallWatch } from './stall-watch.ts'
import type { TopicIdentity } from './topic-identity.ts'

/** One partition in one generation, or once more after it was fenced in it. */
export type Lane = TopicPartition & {
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
  /** It was opened a second time within its generation. */
  readonly again: boolean
  /** Work of the lane, one piece after another. */
  tail: Promise<void>
}

/** The broker's limit. */
export const MAX_METADATA_BYTES = 4096

export function createLane({ topic, partition, topicId }: AssignedPartition, again: boolean): Lane {
  return {
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
    again,
    tail: Promise.resolve(),
  }
}

export function laneKey(topic: string, partition: number): string {
  return `${topic}/${partition}`
}

export type LaneWork = {
  /** Runs a piece of work when the former ones have ended, unless the lane is closed by then, and commits what it returns. */
  readonly enqueue: (lane: Lane, work: (handler: PartitionHandler) => Promise<Progress | null>) => Promise<void>
  /** Closes the lane's handler, once. */
  readonly end: (lane: Lane, reason: 'revoked' | 'stopping') => Promise<Progress | null>
}

export type LaneWorkDeps = {
  readonly options: Pick<GroupConsumerOptions, 'commit'>
  readonly client: {
    /**
     * Resolves false when the group no longer accepts commits of this member's generation. The request's generation is the one
     * at the time of the call: nothing is awaited before it is fixed.
     */
    commit(topic: string, partition: number, progress: Progress): Promise<boolean>
  }
  readonly identity: Pick<TopicIdentity, 'check'>
  readonly stalls: Pick<StallWatch, 'watch'>
  /** Told of what a piece of work threw; the lane is closed by then. */
  readonly onError: (lane: Lane, error: unknown) => void
}

/** The work of single lanes: pieces of one never overlap, and the commit of each is its last line. */
export function createLaneWork({ options, client, identity, stalls, onError }: LaneWorkDeps): LaneWork {
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
    const { topic, partition } = lane
    const committing = options.commit?.({ topic, partition }, progress) ?? client.commit(topic, partition, progress)
    if (await committing) await handler.committed?.(progress)
    else lane.closed = true
  }

  return {
    enqueue(lane, work) {
      lane.tail = lane.tail.then(async () => {
        if (lane.closed || lane.handler === null) return
        const { handler } = lane
        try {
          await stalls.watch(laneKey(lane.topic, lane.partition), async () =>
            settle(lane, handler, await work(handler)),
          )
        } catch (error) {
          lane.closed = true
          onError(lane, error)
        }
      })
      return lane.tail
    },
    async end(lane, reason) {
      if (lane.ended) return null
      lane.ended = true
      return (await lane.handler?.close?.(reason)) ?? null
    },
  }
}
