import { setImmediate as turn } from 'node:timers/promises'
import { createManualClock } from '@mesh/shared/testing/manual-clock'
import { expect, test } from 'vitest'
import { createTokenBucket } from '../../../src/core/token-bucket.ts'

/** Takes one record after another and tells at which second each came through. */
async function seconds(perSecond: number, counts: readonly number[]): Promise<number[]> {
  const clock = createManualClock(0)
  const bucket = createTokenBucket(perSecond, clock)
  const at: number[] = []
  const all = Promise.all(counts.map((count) => bucket.take(count).then(() => at.push(clock.now() / 1000))))
  while (at.length < counts.length) {
    await turn()
    clock.advance(100)
  }
  await all
  return at.map((second) => Math.floor(second))
}

test('a burst of one second goes at once, the rest at the rate', async () => {
  expect(await seconds(2, [1, 1, 2, 2])).toEqual([0, 0, 1, 2])
})

test('a chunk larger than the bucket waits for what it is beyond', async () => {
  expect(await seconds(10, [40, 10])).toEqual([3, 4])
})

test('an aborted taker does not wait', async () => {
  const clock = createManualClock(0)
  const stop = new AbortController()
  const taking = createTokenBucket(1, clock).take(1000, stop.signal)
  await turn()
  stop.abort()
  await taking
  expect(clock.now()).toBe(0)
})
