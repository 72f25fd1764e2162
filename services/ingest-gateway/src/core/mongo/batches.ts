export type BatchLimits<T> = {
  readonly count: number
  readonly bytes: number
  readonly sizeOf: (item: T) => number
  /** How long a batch that has begun waits for more. */
  readonly linger: () => Promise<void>
}

/**
 * Batches out of a feed that hands over one thing at a time and gives null when there is nothing for a while. A call that is under way when
 * a batch is closed belongs to the next one: nothing is dropped and nothing is asked for twice.
 * @returns `take`: the next batch in the feed's order; empty after a null. Rejects with the feed's error once what came before it is taken.
 */
export function createBatches<T extends object>(
  next: () => Promise<T | null>,
  limits: BatchLimits<T>,
): () => Promise<T[]> {
  let pending: Promise<T | null> | null = null

  function ask(): Promise<T | null> {
    if (pending !== null) return pending
    pending = next()
    // Whoever takes the next batch hears of it.
    pending.catch(() => undefined)
    return pending
  }

  return async function take() {
    const first = (await ask()) as T | null
    pending = null
    if (first === null) return []
    const batch = [first]
    let bytes = limits.sizeOf(first)
    const closed = limits.linger().then(() => LATE)
    while (batch.length < limits.count && bytes < limits.bytes) {
      const more = await Promise.race([ask().catch(() => LATE), closed])
      if (more === LATE) break
      pending = null
      if (more === null) break
      batch.push(more as T)
      bytes += limits.sizeOf(more as T)
    }
    return batch
  }
}

const LATE: unique symbol = Symbol('late')
