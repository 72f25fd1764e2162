import { expect, test } from 'vitest'
import { dueAt, noteActivity } from '../../../src/core/coalescer.ts'

const coalesce = { quietMs: 500, maxWaitMs: 2000, minIntervalMs: 10_000 }

test('a run is due when it has been quiet, and every arrival begins the quiet anew', () => {
  const first = noteActivity(null, 1000)
  expect(dueAt(coalesce, first, null)).toBe(1500)
  expect(dueAt(coalesce, noteActivity(first, 1400), null)).toBe(1900)
})

test('an unbroken flow does not put it off for ever', () => {
  let activity = noteActivity(null, 0)
  for (let at = 0; at <= 5000; at += 100) activity = noteActivity(activity, at)
  expect(dueAt(coalesce, activity, null)).toBe(2000)
})

test('runs keep their distance', () => {
  expect(dueAt(coalesce, noteActivity(null, 1000), 900)).toBe(10_900)
})
