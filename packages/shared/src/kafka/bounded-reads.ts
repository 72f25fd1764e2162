import { randomUUID } from 'node:crypto'
import { MeshError } from '../core/errors.ts'
import type { RecordBatch } from '../core/record.ts'
import type {
  AssignedPartition,
  Follower,
  FollowOptions,
  GroupConsumer,
  GroupConsumerOptions,
  KafkaAdmin,
  PartitionRange,
} from './port.ts'
import { realScheduler, type Scheduler } from './scheduler.ts'

export type ConsumerFactory = (options: GroupConsumerOptions) => GroupConsumer

/** A range that makes no progress for so long has an open transaction below its end, or lost its broker. */
const NO_PROGRESS_MS = 60_000

/** `KafkaPort.readRanges` over any group consumer: nothing is committed, so the throwaway group vanishes with its member. */
export async function readRanges(
  createConsumer: ConsumerFactory,
  admin: KafkaAdmin,
  topic: string,
  {
    ranges,
    onBatch,
    scheduler = realScheduler,
  }: {
    ranges: readonly PartitionRange[]
    onBatch: (batch: RecordBatch) => void | Promise<void>
    scheduler?: Scheduler
  },
): Promise<void> {
  const open = new Map(ranges.filter((range) => range.from < range.to).map((range) => [range.partition, range]))
  if (open.size === 0) return
  const done = Promise.withResolvers<void>()
  let busy = 0
  let unwatch = scheduler.after(NO_PROGRESS_MS, stuck)
  const consumer = createConsumer({
    groupId: `mesh.range.${randomUUID()}`,
    topics: [topic],
    onFatal: done.reject,
    assign: (assigned) => Promise.resolve(assignRange(assigned)),
  })

  function assignRange({
    partition,
    logStartOffset,
    highWatermark,
  }: AssignedPartition): Awaited<ReturnType<GroupConsumerOptions['assign']>> {
    const range = open.get(partition)
    if (!range) return { position: highWatermark, paused: true, handler: { process: () => Promise.resolve(null) } }
    if (range.from < logStartOffset || range.to > highWatermark) {
      const message = `[${range.from}, ${range.to}) is not in the log, which holds [${logStartOffset}, ${highWatermark})`
      throw new MeshError('MESH_KAFKA_OFFSET_OUT_OF_RANGE', message, { place: `${topic}/${partition}` })
    }
    return {
      position: range.from,
      handler: {
        async process(batch) {
          busy++
          await onBatch(clip(batch, range.to))
          busy--
          watchAgain()
          // Where a rejoin goes on: nothing is handed over twice.
          open.set(partition, { ...range, from: batch.nextOffset })
          if (batch.nextOffset < range.to) return null
          open.delete(partition)
          consumer.pause(topic, partition)
          if (open.size === 0) done.resolve()
          return null
        },
      },
    }
  }

  function watchAgain(): void {
    unwatch()
    unwatch = scheduler.after(NO_PROGRESS_MS, stuck)
  }

  function stuck(): void {
    // A reader that takes its time is not a range without progress.
    if (busy > 0) return watchAgain()
    const [range] = open.values()
    const place = `${topic}/${range?.partition}`
    done.reject(
      new MeshError(
        'MESH_KAFKA_UNAVAILABLE',
        `reading up to offset ${range?.to} made no progress for ${NO_PROGRESS_MS / 1000} s`,
        { place },
      ),
    )
  }

  done.promise.catch(() => undefined)
  try {
    await consumer.start()
    await done.promise
  } finally {
    unwatch()
    await consumer.stop()
  }
}

/** The part of a batch below `to`. */
export function clip(batch: RecordBatch, to: number): RecordBatch {
  if (batch.nextOffset <= to) return batch
  return { ...batch, nextOffset: to, records: batch.records.filter((record) => record.offset < to) }
}

/** `KafkaPort.follow` over any group consumer. */
export async function follow(
  createConsumer: ConsumerFactory,
  admin: KafkaAdmin,
  topic: string,
  options: FollowOptions,
): Promise<Follower> {
  // What lies behind an open transaction is not there yet, and may never be.
  const ends = new Map((await admin.offsets(topic)).map((found) => [found.partition, found.lastStableOffset]))
  const behind = new Set(ends.keys())
  const positions = new Map<number, number>()
  const caughtUp = Promise.withResolvers<void>()
  caughtUp.promise.catch(() => undefined)
  const reached = (partition: number, position: number): void => {
    positions.set(partition, position)
    if (position >= (ends.get(partition) ?? 0)) behind.delete(partition)
    if (behind.size === 0) caughtUp.resolve()
  }
  const consumer = createConsumer({
    groupId: `mesh.follow.${randomUUID()}`,
    topics: [topic],
    onFatal(error) {
      caughtUp.reject(error)
      options.onFatal(error)
    },
    assign({ partition, logStartOffset }) {
      // After a rejoin it goes on where it was. A partition that was added since `follow` was called is new from its start.
      const first = firstOffset(options.from, ends, partition) ?? logStartOffset
      const position = Math.max(positions.get(partition) ?? first, logStartOffset)
      reached(partition, position)
      return Promise.resolve({
        position,
        handler: {
          async process(batch) {
            await options.onBatch(batch)
            reached(batch.partition, batch.nextOffset)
            return null
          },
        },
      })
    },
  })
  await consumer.start()
  return { caughtUp: caughtUp.promise, stop: () => consumer.stop() }
}

function firstOffset(
  from: FollowOptions['from'],
  ends: ReadonlyMap<number, number>,
  partition: number,
): number | undefined {
  if (from === 'start') return undefined
  return (from === 'end' ? ends : from).get(partition)
}
