/** Says when a position that is done should be committed: often enough to keep a restart short, rarely enough to stay cheap. */
export type CommitPace = {
  /** Everything below `position` is durable. */
  moved(position: number): void
  /** The position to commit now, or null; `force` takes it whatever the time. */
  due(nowMs: number, force?: boolean): number | null
}

export function createCommitPace(intervalMs: number): CommitPace {
  let waiting: number | null = null
  let lastMs = Number.NEGATIVE_INFINITY
  return {
    moved(position) {
      waiting = position
    },
    due(nowMs, force = false) {
      if (waiting === null || (!force && nowMs - lastMs < intervalMs)) return null
      const position = waiting
      waiting = null
      lastMs = nowMs
      return position
    },
  }
}
