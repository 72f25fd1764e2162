import type { RecordBatch } from '@mesh/shared/core/record'
import type { KafkaPort, PartitionRange } from '@mesh/shared/kafka/port'

type ReadRanges = KafkaPort['readRanges']
type Request = {
  readonly ranges: readonly PartitionRange[]
  readonly onBatch: (batch: RecordBatch) => void | Promise<void>
  readonly done: PromiseWithResolvers<void>
}

/**
 * `readRanges` for callers that ask partition by partition at the same time, as assignments do: while one read of a topic runs, the
 * next requests gather and then share one. Every read is a throwaway consumer group, which a broker takes a while to form.
 */
export function createRangeReader(kafka: Pick<KafkaPort, 'readRanges'>): ReadRanges {
  const waiting = new Map<string, Request[]>()

  async function drain(topic: string): Promise<void> {
    for (let round = nextRound(topic); round.length > 0; round = nextRound(topic)) {
      const byPartition = new Map(round.flatMap((r) => r.ranges.map((range) => [range.partition, r] as const)))
      const ranges = round.flatMap((request) => request.ranges)
      try {
        await kafka.readRanges(topic, ranges, (batch) => byPartition.get(batch.partition)!.onBatch(batch))
        for (const { done } of round) done.resolve()
      } catch (error) {
        for (const { done } of round) done.reject(error)
      }
    }
    waiting.delete(topic)
  }

  /** Requests that can share a read: each partition once. */
  function nextRound(topic: string): Request[] {
    const taken = new Set<number>()
    const round: Request[] = []
    const left: Request[] = []
    for (const request of waiting.get(topic)!) {
      const clashes = request.ranges.some((range) => taken.has(range.partition))
      for (const range of request.ranges) taken.add(range.partition)
      ;(clashes ? left : round).push(request)
    }
    waiting.set(topic, left)
    return round
  }

  return async function readRanges(topic, ranges, onBatch) {
    const request: Request = { ranges, onBatch, done: Promise.withResolvers() }
    const queue = waiting.get(topic)
    if (queue) queue.push(request)
    else {
      waiting.set(topic, [request])
      // A turn of the event loop later, what was asked for at the same time is there too.
      setImmediate(() => void drain(topic))
    }
    await request.done.promise
  }
}
