/** Exponential back-off with jitter, pure: the caller owns the clock and the random number. */
export type RetryPolicy = {
  readonly initialMs: number
  readonly maxMs: number
  readonly factor: number
  /** Attempts after the first one; Infinity for a transient failure that must heal by itself. */
  readonly retries: number
}

export const DEFAULT_RETRY: RetryPolicy = { initialMs: 100, maxMs: 30_000, factor: 2, retries: Infinity }

/**
 * The pause before retry `attempt` (1 = first retry), or null when the policy gives up. `jitter` in [0, 1) spreads the pause
 * over the upper half of its range, so that many partitions do not come back at once.
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, jitter: number): number | null {
  if (attempt > policy.retries) return null
  const ceiling = Math.min(policy.maxMs, policy.initialMs * policy.factor ** (attempt - 1))
  return Math.round(ceiling / 2 + (ceiling / 2) * jitter)
}
