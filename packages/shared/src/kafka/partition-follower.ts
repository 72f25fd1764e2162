import { randomUUID } from 'node:crypto'
import { MeshError } from '../core/errors.ts'
import type { RecordBatch } from '../core/record.ts'
import type { ConsumerFactory } from './bounded-reads.ts'
import type { FollowOptions, KafkaAdmin, PartitionFollower } from './port.ts'

type Followed = {
  /** Next offset to hand over. */
  position: number
  /** End when it was added. */
  readonly end: number
  readonly onBatch: FollowOptions['onBatch']
  readonly caughtUp: PromiseWithResolvers<void>
  /** What is being handed over. */
  busy: Promise<void>
}

export type PartitionFollowerOptions = { readonly topic: string; readonly onFatal: (error: unknown) => void }

/**
 * `KafkaPort.followPartitions` over any group consumer: a throwaway group's only member is assigned every partition, and those that
 * nobody asked for stay paused, so that one more costs no rejoin and no connection.
 */
export async function followPartitions(
  createConsumer: ConsumerFactory,
  admin: KafkaAdmin,
  { topic, onFatal }: PartitionFollowerOptions,
): Promise<PartitionFollower> {
  const followed = new Map<number, Followed>()
  let failure: { readonly error: unknown } | null = null
  const consumer = createConsumer({
    groupId: `mesh.follow.${randomUUID()}`,
    topics: [topic],
    onFatal(error) {
      failure = { error }
      for (const { caughtUp } of followed.values()) caughtUp.reject(error)
      onFatal(error)
    },
    assign: ({ partition, highWatermark }) =>
      Promise.resolve({
        // Read when the lane opens: a partition may be added while the group is joined.
        get position() {
          return followed.get(partition)?.position ?? highWatermark
        },
        get paused() {
          return !followed.has(partition)
        },
        handler: { process: handOver },
      }),
  })

  async function handOver(batch: RecordBatch): Promise<null> {
    const own = followed.get(batch.partition)
    // It was under way when the partition was removed, or removed and added again.
    if (own === undefined || batch.firstOffset !== own.position) return null
    const handed = Promise.resolve(own.onBatch(batch))
    own.busy = handed.then(
      () => undefined,
      () => undefined,
    )
    await handed
    own.position = batch.nextOffset
    settle(own)
    return null
  }

  await consumer.start()
  return {
    async add(partition, { from, onBatch }) {
      if (failure !== null) throw failure.error
      const found = (await admin.offsets(topic)).find((offsets) => offsets.partition === partition)
      if (found === undefined) {
        throw new MeshError('MESH_KAFKA_FATAL', 'the partition does not exist', { place: `${topic}/${partition}` })
      }
      const caughtUp = Promise.withResolvers<void>()
      caughtUp.promise.catch(() => undefined)
      const position = Math.max(from ?? 0, found.logStartOffset)
      // What lies behind an open transaction is not there yet, and may never be.
      const own: Followed = { position, end: found.lastStableOffset, onBatch, caughtUp, busy: Promise.resolve() }
      followed.set(partition, own)
      settle(own)
      consumer.seek(topic, partition, position)
      consumer.resume(topic, partition)
      await caughtUp.promise
    },
    async remove(partition) {
      const own = followed.get(partition)
      if (own === undefined) return
      followed.delete(partition)
      consumer.pause(topic, partition)
      own.caughtUp.reject(new MeshError('MESH_INTERNAL', 'the partition is no longer followed'))
      await own.busy
    },
    stop: () => consumer.stop(),
  }
}

function settle({ position, end, caughtUp }: Followed): void {
  if (position >= end) caughtUp.resolve()
}
