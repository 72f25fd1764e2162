import { addHash, formatHash, type HashSum, rawHash, refinedHash } from '@mesh/shared/core/books'
import { advanceHighest, type HighestSrc, isRedelivered, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { headerText } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { KafkaPort, PartitionRange } from '@mesh/shared/kafka/port'
import type { LayerBooks } from './books.ts'

const FRAME_BYTES = 5

/** Counts and content of raw records, read record by record from the log: the independent side of the first equation. */
export async function readRawBooks(
  kafka: KafkaPort,
  topic: string,
  ranges: readonly PartitionRange[],
): Promise<Map<number, LayerBooks>> {
  const sums = new Map<number, { records: number; hash: HashSum }>(
    ranges.map((range) => [range.partition, { records: 0, hash: 0n }]),
  )
  await kafka.readRanges(topic, ranges, (batch) => {
    const sum = sums.get(batch.partition)!
    for (const record of batch.records) {
      sum.records++
      sum.hash = addHash(
        sum.hash,
        rawHash({ topicId: batch.topicId, partition: batch.partition, offset: record.offset }, record),
      )
    }
  })
  return new Map([...sums].map(([partition, sum]) => [partition, { records: sum.records, hash: formatHash(sum.hash) }]))
}

export type RefinedBooks = LayerBooks & { readonly redelivered: number }

/** Counts and content of a refined topic, each mesh-src once: what every exact reader must have. */
export async function readRefinedBooks(
  kafka: KafkaPort,
  topic: string,
  ranges: readonly PartitionRange[],
): Promise<Map<number, RefinedBooks>> {
  const sums = new Map(
    ranges.map((range) => [range.partition, { records: 0, redelivered: 0, hash: 0n, highest: {} as HighestSrc }]),
  )
  await kafka.readRanges(topic, ranges, (batch) => {
    const sum = sums.get(batch.partition)!
    for (const record of batch.records) {
      const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
      if (isRedelivered(sum.highest, src)) {
        sum.redelivered++
        continue
      }
      advanceHighest(sum.highest, src)
      sum.records++
      sum.hash = addHash(sum.hash, refinedHash(src, record.key, record.value?.subarray(FRAME_BYTES) ?? null))
    }
  })
  return new Map(
    [...sums].map(([partition, sum]) => [
      partition,
      { records: sum.records, redelivered: sum.redelivered, hash: formatHash(sum.hash) },
    ]),
  )
}
