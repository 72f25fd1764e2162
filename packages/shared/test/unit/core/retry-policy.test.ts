import { describe, expect, it } from 'vitest'
import { DEFAULT_RETRY, retryDelayMs } from '../../../src/core/retry-policy.ts'

describe('retryDelayMs', () => {
  it('doubles up to the ceiling', () => {
    const delays = [1, 2, 3, 20].map((attempt) => retryDelayMs(DEFAULT_RETRY, attempt, 0.999))
    expect(delays).toEqual([100, 200, 400, 29985])
  })

  it('spreads over the upper half', () => {
    expect(retryDelayMs(DEFAULT_RETRY, 4, 0)).toBe(400)
    expect(retryDelayMs(DEFAULT_RETRY, 4, 0.5)).toBe(600)
  })

  it('gives up after the last retry', () => {
    expect(retryDelayMs({ ...DEFAULT_RETRY, retries: 2 }, 2, 0)).toBe(100)
    expect(retryDelayMs({ ...DEFAULT_RETRY, retries: 2 }, 3, 0)).toBeNull()
  })
})
