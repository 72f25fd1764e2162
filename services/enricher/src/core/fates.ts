import { addHash, type HashSum } from '@mesh/shared/core/books'
import { advanceHighest, type HighestSrc, isRedelivered, type MeshSrc } from '@mesh/shared/core/coordinate'

/** What an earlier run already published for one raw record. */
export type Published = { readonly outputs: number; readonly hash: HashSum }

/**
 * Fates of raw records at or after the committed position, read back from the enricher's own output: the first run is the one that
 * counts. All outputs of a raw record lie in one record batch, so a record is found whole or not at all.
 */
export type PublishedFates = {
  /** Takes an output in topic order. Outputs of other lanes, topics or partitions, redelivered ones and decided ones do not count. */
  add(src: MeshSrc, output: { readonly hash: HashSum; readonly refinedOffset: number }): void
  /** The published outputs of a raw offset, or null. */
  at(offset: number): Published | null
  /** True when a later raw record's output is published already: nothing may be emitted for this one any more. */
  passed(offset: number): boolean
  /**
   * Where on the refined topic the outputs of raw offsets at or after `next` begin, or null when none is known. Books that end at
   * `next` cover the topic up to there. `next` never falls.
   */
  pendingFrom(next: number): number | null
}

type SequenceOf = Pick<MeshSrc, 'lane' | 'topicId' | 'partition'>

/** @param from the first raw offset that is not decided by the books. */
export function createPublishedFates(sequence: SequenceOf, from: number): PublishedFates {
  const found = new Map<number, Published>()
  const highestSrc: HighestSrc = {}
  const begins: { offset: number; refinedOffset: number }[] = []
  let passedBegins = 0
  let highest = -1
  return {
    add(src, { hash, refinedOffset }) {
      if (src.lane !== sequence.lane || src.topicId !== sequence.topicId || src.partition !== sequence.partition) return
      if (src.offset < from || isRedelivered(highestSrc, src)) return
      advanceHighest(highestSrc, src)
      const before = found.get(src.offset) ?? { outputs: 0, hash: 0n }
      found.set(src.offset, { outputs: before.outputs + 1, hash: addHash(before.hash, hash) })
      if (src.offset > highest) begins.push({ offset: src.offset, refinedOffset })
      highest = src.offset
    },
    at: (offset) => (offset > highest ? null : (found.get(offset) ?? null)),
    passed: (offset) => offset < highest,
    pendingFrom(next) {
      while (passedBegins < begins.length && begins[passedBegins]!.offset < next) passedBegins++
      return begins[passedBegins]?.refinedOffset ?? null
    },
  }
}
