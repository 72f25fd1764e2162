/** Bytes that several holders share. What is optional asks; what is not is taken and makes the asking fail sooner. */
export type MemoryBudget = {
  tryTake(bytes: number): boolean
  take(bytes: number): void
  give(bytes: number): void
  used(): number
  readonly limit: number
}

export function createMemoryBudget(limit: number): MemoryBudget {
  let used = 0
  return {
    limit,
    tryTake(bytes) {
      if (used + bytes > limit) return false
      used += bytes
      return true
    },
    take(bytes) {
      used += bytes
    },
    give(bytes) {
      used -= bytes
    },
    used: () => used,
  }
}
