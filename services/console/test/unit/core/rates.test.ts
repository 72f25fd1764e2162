import { expect, test } from 'vitest'
import { createRates } from '../../../src/core/rates.ts'

const ends = (end: number): ReadonlyMap<string, number> => new Map([['t', end]])

test('the rate is the growth over the window, unknown until there are two moments', () => {
  const rates = createRates(10_000)
  expect(rates.observe(0, ends(100)).get('t')).toBeUndefined()
  expect(rates.observe(1000, ends(150)).get('t')).toBe(50)
  expect(rates.observe(2000, ends(150)).get('t')).toBe(25)
})

test('growth before the window is forgotten', () => {
  const rates = createRates(10_000)
  rates.observe(0, ends(0))
  rates.observe(5000, ends(1000))
  expect(rates.observe(12_000, ends(1000)).get('t')).toBe(0)
})

test('a topic created anew has no rate until its new records are seen twice', () => {
  const rates = createRates(10_000)
  rates.observe(0, ends(100))
  expect(rates.observe(1000, ends(5)).get('t')).toBeUndefined()
})

test('a topic that appears later has a rate from then on', () => {
  const rates = createRates(10_000)
  rates.observe(0, new Map())
  rates.observe(1000, ends(10))
  expect(rates.observe(2000, ends(30)).get('t')).toBe(20)
})
