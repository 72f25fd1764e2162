import { describe, expect, test } from 'vitest'
import { transactionPace } from '../../src/handlers.ts'

const PACE = { commitIntervalMs: 500, tickMs: 100, now: () => 0, random: () => 0 }

describe('the pace of transactions', () => {
  test.each([
    { interval: 250, tick: 100 },
    { interval: 20, tick: 20 },
    { interval: 0, tick: 10 },
  ])('an interval of $interval ms is looked at every $tick ms', ({ interval, tick }) => {
    expect(transactionPace(PACE, interval)).toEqual({ ...PACE, commitIntervalMs: interval, tickMs: tick })
  })
})
