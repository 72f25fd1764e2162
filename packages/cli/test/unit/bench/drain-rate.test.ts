import { expect, test } from 'vitest'
import { type DrainSample, drainRate } from '../../../../../tests/bench/drain-rate.ts'

const sample = (at: number, records: number, cpuSeconds = at / 1000): DrainSample => ({
  at,
  records,
  cpuSeconds,
  brokerCpuSeconds: at / 8000,
})

test('the rate is taken between commit points: neither start-up nor the wait for the last flush is in it', () => {
  const samples = [sample(0, 0), sample(5000, 1000), sample(6000, 5000), sample(7000, 9000), sample(60_000, 10_000)]
  expect(drainRate(samples, { total: 10_000, tail: 1000 })).toEqual({
    perSecond: 4000,
    cpuPerMillion: 250,
    brokerCpuPerMillion: 31.25,
    steady: true,
  })
})

test('a run with one commit point is taken as a whole, and says so', () => {
  expect(drainRate([sample(0, 0), sample(1000, 0), sample(2000, 100)], { total: 100, tail: 25 })).toMatchObject({
    perSecond: 50,
    steady: false,
  })
})

test('samples that end before the backlog does give no rate', () => {
  expect(() => drainRate([sample(0, 0), sample(1000, 90)], { total: 100, tail: 25 })).toThrow('do not reach 100')
})
