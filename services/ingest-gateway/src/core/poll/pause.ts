import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'

const FAILURES: RetryPolicy = { initialMs: 1000, maxMs: 300_000, factor: 2, retries: Infinity }
const LONGEST_ASKED_MS = 86_400_000

/**
 * What Retry-After asks for, in ms from `now`: seconds or an HTTP date (RFC 9110 §10.2.3), at most a day; null when there is none
 * or it cannot be read.
 */
export function retryAfterMs(header: string | undefined, now: number): number | null {
  const text = header?.trim() ?? ''
  const ms = /^\d{1,9}$/.test(text)
    ? Number(text) * 1000
    : /^[A-Z][a-z]{2,8},/.test(text)
      ? Date.parse(text) - now
      : Number.NaN
  return Number.isNaN(ms) ? null : Math.min(Math.max(0, ms), LONGEST_ASKED_MS)
}

/**
 * The pause after failure number `attempt` (from 1). What the server asked for is kept to and spread a little upwards, so that
 * pollers of one server do not come back at once. `jitter` in [0, 1).
 */
export function pauseMs(attempt: number, asked: number | null, jitter: number): number {
  const own = retryDelayMs(FAILURES, attempt, jitter)!
  return asked === null ? own : Math.max(asked + Math.round(Math.min(asked * 0.1, 10_000) * jitter), 100)
}
