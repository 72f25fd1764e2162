import { expect, test } from 'vitest'
import { type DrainSample, drainRate } from '../../../../../tests/bench/drain-rate.ts'

const sample = (at: number, records: number): DrainSample => ({
  at,
  records,
  cpuSeconds: at / 1000,
  brokerCpuSeconds: at / 8000,
})

test('the rate runs from readiness to the last full flush: neither start-up nor the wait for the rest is in it', () => {
  const samples = [sample(0, 0), sample(5000, 0), sample(6000, 1000), sample(7000, 8000), sample(60_000, 10_000)]
  expect(drainRate(samples, { total: 10_000, tail: 2500, readyAt: 5050 })).toEqual({
    perSecond: 4000,
    cpuPerMillion: 250,
    brokerCpuPerMillion: 31.25,
  })
})

test('work that is committed at once after many partitions did it is not ascribed to the moment of the commit', () => {
  const samples = [sample(0, 0), sample(900, 10), sample(1000, 1000)]
  expect(drainRate(samples, { total: 1000, tail: 0, readyAt: 0 }).perSecond).toBe(1000)
})

test('samples that end before the backlog does, or begin after it, give no rate', () => {
  const samples = [sample(0, 0), sample(1000, 90)]
  expect(() => drainRate(samples, { total: 200, tail: 25, readyAt: 0 })).toThrow('do not show')
  expect(() => drainRate([sample(0, 100)], { total: 100, tail: 0, readyAt: 0 })).toThrow('do not show')
})
