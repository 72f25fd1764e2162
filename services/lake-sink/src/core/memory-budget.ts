/** What one partition's buffer holds of the process's budget. */
export type MemoryShare = {
  /** Sets the bytes held. */
  hold(bytes: number): void
  /** True when this buffer has to be cut before anything is added to it. */
  mustCut(): boolean
  leave(): void
}

/**
 * One byte budget over all partitions. From three quarters on, the largest buffer is told to cut at its next call; at the limit
 * whoever adds cuts its own at once. So what is held never exceeds the limit by more than one record, however many partitions.
 */
export type MemoryBudget = { share(): MemoryShare; held(): number }

export function createMemoryBudget(limit: number): MemoryBudget {
  const soft = limit * 0.75
  const held = new Map<MemoryShare, number>()
  let total = 0
  let told: MemoryShare | null = null

  function largest(): MemoryShare | null {
    let found: MemoryShare | null = null
    for (const [share, bytes] of held) if (bytes > (found ? held.get(found)! : 0)) found = share
    return found
  }

  function set(share: MemoryShare, bytes: number): void {
    const before = held.get(share) ?? 0
    held.set(share, bytes)
    total += bytes - before
    if (told === share && bytes < before) told = null
    if (total <= soft) told = null
    else told ??= largest()
  }

  return {
    held: () => total,
    share() {
      const share: MemoryShare = {
        hold: (bytes) => set(share, bytes),
        mustCut: () => told === share || (total > limit && (held.get(share) ?? 0) > 0),
        leave() {
          set(share, 0)
          held.delete(share)
        },
      }
      return share
    },
  }
}
