import { addHash, type HashSum } from '@mesh/shared/core/books'
import type { MeshSrc, Origin } from '@mesh/shared/core/coordinate'
import { SEQUENCE_BLOCK } from './books.ts'

/** A release that an earlier run wrote and did not commit. */
export type PublishedRelease = {
  readonly offset: number
  outputs: number
  hash: HashSum
  /** Where its last output lies on the refined topic. */
  refinedOffset: number
}

/** Releases read back from the enricher's own output, by a reader's rule: in topic order, above the highest sequence so far. */
export type PublishedReleases = {
  add(src: MeshSrc, origin: Origin, output: { readonly hash: HashSum; readonly refinedOffset: number }): void
  /**
   * Takes what books that end there cover: outputs below `refinedNext` of raw offsets below `sourceNext`. A release at or above it
   * shows that a commit was overtaken by an older one that was late: main comes to it again.
   */
  takeBelow(refinedNext: number, sourceNext: number): PublishedRelease[]
  has(offset: number): boolean
  /** How many are not taken, of raw offsets below `sourceNext`. */
  pending(sourceNext?: number): number
  /** Where the next block begins, whatever was taken. */
  next(): number
}

/** @param from the next sequence of the committed books */
export function createPublishedReleases(from: number): PublishedReleases {
  const found = new Map<number, PublishedRelease>()
  let highest = from - 1
  return {
    add({ offset: sequence }, { offset }, { hash, refinedOffset }) {
      if (sequence <= highest) return
      highest = sequence
      const release = found.get(offset) ?? { offset, outputs: 0, hash: 0n, refinedOffset }
      release.outputs++
      release.hash = addHash(release.hash, hash)
      release.refinedOffset = refinedOffset
      found.set(offset, release)
    },
    takeBelow(refinedNext, sourceNext) {
      const taken = [...found.values()].filter(
        (release) => release.refinedOffset < refinedNext && release.offset < sourceNext,
      )
      for (const { offset } of taken) found.delete(offset)
      return taken
    },
    has: (offset) => found.has(offset),
    pending: (sourceNext = Number.POSITIVE_INFINITY) =>
      [...found.keys()].filter((offset) => offset < sourceNext).length,
    next: () => Math.ceil((highest + 1) / SEQUENCE_BLOCK) * SEQUENCE_BLOCK,
  }
}
