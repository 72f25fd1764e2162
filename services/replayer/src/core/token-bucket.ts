import type { Clock } from './ports.ts'

export type RateLimit = {
  /** Most records worth taking at once: those of one second; Infinity without a limit. */
  readonly burst: number
  /** Resolves when `count` more may go; a count above the bucket goes once the bucket is full. */
  take(count: number, signal?: AbortSignal): Promise<void>
}

export const UNLIMITED: RateLimit = { burst: Number.POSITIVE_INFINITY, take: async () => {} }

/** `perSecond` on average, bursts of at most one second. One taker at a time: takers queue in order. */
export function createTokenBucket(perSecond: number, clock: Clock): RateLimit {
  let tokens = perSecond
  let at = clock.now()
  let queue: Promise<void> = Promise.resolve()

  function refill(): void {
    const now = clock.now()
    tokens = Math.min(perSecond, tokens + ((now - at) / 1000) * perSecond)
    at = now
  }

  async function takeNow(count: number, signal?: AbortSignal): Promise<void> {
    refill()
    // Debt is paid by waiting, so a chunk larger than the bucket keeps the average too.
    tokens -= count
    while (tokens < 0 && !signal?.aborted) {
      await clock.wait(Math.ceil((-tokens / perSecond) * 1000), signal)
      refill()
    }
  }

  return {
    burst: Math.max(1, Math.floor(perSecond)),
    take(count, signal) {
      queue = queue.then(() => takeNow(count, signal))
      return queue
    },
  }
}
