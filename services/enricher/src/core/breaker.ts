/** A stop of a partition whose records all die of one cause. `share` of the last `decided` records would be dead letters of `code`. */
export type Trip = { readonly code: string; readonly share: number; readonly decided: number }

export type BreakerRule = { readonly share: number; readonly window: number }
export const DEFAULT_BREAKER: BreakerRule = { share: 0.5, window: 1000 }
/** Below it a share says nothing. */
export const MIN_DECIDED = 200

/** Watches the dead letters of one partition. What is noted is provisional until it is written. */
export type Breaker = {
  /** @param code of the dead letter that a decision would be, or null for any other fate. A trip, or null to go on. */
  note(code: string | null, rule: BreakerRule): Trip | null
  /** What was noted is written. */
  keep(): void
  /** What was noted since the last `keep` did not happen. */
  undo(): void
}

const COMPACT_AT = 10_000

export function createBreaker(): Breaker {
  /** The window is [head, end); below it lies what an `undo` may bring back. */
  let log: (string | null)[] = []
  let head = 0
  let kept = { end: 0, head: 0 }
  const counts = new Map<string, number>()

  function count(code: string | null, by: 1 | -1): void {
    if (code !== null) counts.set(code, (counts.get(code) ?? 0) + by)
  }

  return {
    note(code, { share, window }) {
      log.push(code)
      count(code, 1)
      while (log.length - head > window) count(log[head++]!, -1)
      const decided = log.length - head
      if (code === null || decided < MIN_DECIDED) return null
      const dead = counts.get(code)!
      return dead / decided > share ? { code, share: dead / decided, decided } : null
    },
    keep() {
      if (head > COMPACT_AT) {
        log = log.slice(head)
        head = 0
      }
      kept = { end: log.length, head }
    },
    undo() {
      log.length = kept.end
      head = kept.head
      counts.clear()
      for (const code of log.slice(head)) count(code, 1)
    },
  }
}
