import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'
import type { Run, RunAttempt, RunError, RunResult } from '@mesh/shared/core/runs'
import type { JobDefinition } from '@mesh/shared/schema/job-file'

/** Transitions of a run: each takes the record and gives the next one. Times are epoch ms. */

const MAX_ATTEMPTS_KEPT = 20
const AWAY_RETRY: RetryPolicy = { initialMs: 500, maxMs: 60_000, factor: 2, retries: Number.POSITIVE_INFINITY }

export const isOpen = ({ state }: Run): boolean => state === 'planned' || state === 'running' || state === 'failed'

/** Names one attempt of one run for the engine: asking twice under it is asking once. */
export const executionId = ({ id, attempt }: Pick<Run, 'id' | 'attempt'>): string => `${id}.${attempt}`

/** Written before the engine is asked: whatever dies after it, the attempt is looked for by its id. */
export function begin(run: Run, now: number): Run {
  const number = run.attempt + 1
  const attempt: RunAttempt = { number, startedAt: iso(now), endedAt: null, error: null }
  const attempts = [...run.attempts, attempt].slice(-MAX_ATTEMPTS_KEPT)
  const startedAt = run.startedAt ?? iso(now)
  return { ...run, state: 'running', attempt: number, attempts, startedAt, nextAttemptAt: null, error: null }
}

export function succeed(run: Run, result: RunResult, now: number): Run {
  return { ...end(run, null, now), state: 'succeeded', result, error: null, endedAt: iso(now) }
}

/** Tried again after a pause, or dead when the retries are used up. */
export function fail(
  run: Run,
  failure: { readonly error: RunError; readonly result: RunResult | null },
  { job, now, jitter }: { readonly job: JobDefinition; readonly now: number; readonly jitter: number },
): Run {
  const failures = run.failures + 1
  const { attempts, backoffMs, maxBackoffMs } = job.retries
  const policy: RetryPolicy = { initialMs: backoffMs, maxMs: maxBackoffMs, factor: 2, retries: attempts - 1 }
  const pause = retryDelayMs(policy, failures, jitter)
  const next = { ...end(run, failure.error, now), failures, error: failure.error, result: failure.result }
  return pause === null
    ? { ...next, state: 'dead', endedAt: iso(now) }
    : { ...next, state: 'failed', nextAttemptAt: iso(now + pause) }
}

/** The engine never had it: no attempt was made, and the run may still become part of another one. */
export function putBack(run: Run, error: RunError, now: number, pauseMs: number): Run {
  const attempts = run.attempts.filter(({ number }) => number !== run.attempt)
  const nextAttemptAt = iso(now + pauseMs)
  return { ...run, state: 'planned', attempts, attempt: run.attempt - 1, error, nextAttemptAt }
}

/** Pause before the engine is looked for again, `times` = how often it was away in a row, from 1. */
export const awayPauseMs = (times: number, jitter: number): number => retryDelayMs(AWAY_RETRY, times, jitter)!

/** Asked for again by hand: its retries begin anew, its attempts go on counting. */
export function revive(run: Run, asOf: Run['asOf'], now: number): Run {
  const again = { state: 'planned' as const, failures: 0, nextAttemptAt: iso(now), endedAt: null }
  return { ...run, ...again, asOf, startedAt: null }
}

export const supersede = (run: Run, now: number): Run => ({
  ...run,
  state: 'superseded',
  nextAttemptAt: null,
  endedAt: iso(now),
})

/** Books the end of the attempt that is under way. */
export function end(run: Run, error: RunError | null, now: number): Run {
  const attempts = run.attempts.map((attempt) =>
    attempt.number === run.attempt ? { ...attempt, endedAt: iso(now), error } : attempt,
  )
  return { ...run, attempts, nextAttemptAt: null }
}

export const iso = (ms: number): string => new Date(ms).toISOString()
