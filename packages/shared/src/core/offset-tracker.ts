/** Work on one partition finishes in any order; offsets are committed only up to where everything is done. */
export type OffsetTracker = {
  /** The range [firstOffset, nextOffset) is done. Ranges tile: each starts where another ends. An empty range is ignored. */
  ack(firstOffset: number, nextOffset: number): void
  /** The end of the contiguous done prefix: the position to commit. */
  committable(): number
  /** Ranges done beyond a gap. */
  waiting(): number
}

/** @throws Error on a range that begins below the prefix or where another began: a defect of the caller. */
export function createOffsetTracker(position: number): OffsetTracker {
  let prefix = position
  const done = new Map<number, number>()

  function ack(firstOffset: number, nextOffset: number): void {
    if (firstOffset === nextOffset) return
    if (firstOffset > nextOffset || firstOffset < prefix || done.has(firstOffset)) {
      throw new Error(`ack of [${firstOffset}, ${nextOffset}) does not follow position ${prefix}`)
    }
    done.set(firstOffset, nextOffset)
    for (let next = done.get(prefix); next !== undefined; next = done.get(prefix)) {
      done.delete(prefix)
      prefix = next
    }
  }

  return { ack, committable: () => prefix, waiting: () => done.size }
}
