import { addHash, formatHash, type HashSum, rawHash, refinedHash } from '@mesh/shared/core/books'
import { advanceHighest, type HighestSrc, isRedelivered, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { headerText } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { KafkaPort, PartitionRange } from '@mesh/shared/kafka/port'
import type { LayerBooks } from './books.ts'
import { type Cut, isWithin } from './cut.ts'

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

export type RefinedBooks = LayerBooks & {
  readonly redelivered: number
  /** Next refined offset after the last record that the cut counts. */
  readonly end: number
}

/** Counts and content of a refined topic, each mesh-src of the cut once: what every exact reader must have. */
export async function readRefinedBooks(
  kafka: KafkaPort,
  topic: string,
  cuts: readonly { readonly range: PartitionRange; readonly cut: Cut }[],
): Promise<Map<number, RefinedBooks>> {
  const sums = new Map(
    cuts.map(({ range, cut }) => {
      const books = { records: 0, redelivered: 0, hash: 0n, end: range.from }
      return [range.partition, { ...books, cut, highest: {} as HighestSrc }]
    }),
  )
  const ranges = cuts.map(({ range }) => range)
  await kafka.readRanges(topic, ranges, (batch) => {
    const sum = sums.get(batch.partition)!
    for (const record of batch.records) {
      const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
      if (!isWithin(sum.cut, src.lane, src.offset)) continue
      if (isRedelivered(sum.highest, src)) {
        sum.redelivered++
        continue
      }
      advanceHighest(sum.highest, src)
      sum.records++
      sum.end = record.offset + 1
      sum.hash = addHash(sum.hash, refinedHash(src, record.key, record.value?.subarray(FRAME_BYTES) ?? null))
    }
  })
  return new Map(
    [...sums].map(([partition, { records, redelivered, hash, end }]) => [
      partition,
      { records, redelivered, hash: formatHash(hash), end },
    ]),
  )
}
