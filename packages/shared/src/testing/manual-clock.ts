export type ManualClock = {
  /** Epoch ms. */
  now(): number
  /** Resolves once time has moved by `ms`, or when the signal is aborted. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
  advance(ms: number): void
}

/** Time that moves only when a test says so. */
export function createManualClock(start: number = Date.parse('2026-03-01T00:00:00Z')): ManualClock {
  let now = start
  const waiting = new Set<{ readonly at: number; readonly done: () => void }>()
  return {
    now: () => now,
    wait(ms, signal) {
      if (signal?.aborted || ms <= 0) return Promise.resolve()
      return new Promise((resolve) => {
        const waiter = { at: now + ms, done }
        function done(): void {
          waiting.delete(waiter)
          signal?.removeEventListener('abort', done)
          resolve()
        }
        waiting.add(waiter)
        signal?.addEventListener('abort', done)
      })
    },
    advance(ms) {
      now += ms
      for (const waiter of waiting) if (waiter.at <= now) waiter.done()
    },
  }
}
