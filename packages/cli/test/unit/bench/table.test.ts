import { expect, test } from 'vitest'
import { type Measurement, median, renderTable } from '../../../../../tests/bench/table.ts'

const measurement = (hop: string, perSecond: number, own: Partial<Measurement> = {}): Measurement => ({
  hop,
  unit: 'records',
  perSecond,
  cpuPerMillion: null,
  brokerCpuPerMillion: 1,
  peakMb: null,
  ...own,
})

test('the median is the middle value, or the mean of the two in the middle', () => {
  expect(median([30, 10, 20])).toBe(20)
  expect(median([40, 10, 30, 20])).toBe(25)
  expect(median([])).toBeNaN()
})

test('a row has the median, the extremes, the ratio of medians to each ceiling, CPU time and the highest peak', () => {
  const table = renderTable(
    [
      measurement('tool', 200_000),
      measurement('sink', 40_000, { unit: 'rows', cpuPerMillion: 20, peakMb: 200.4 }),
      measurement('tool', 100_000),
      measurement('sink', 60_000, { unit: 'rows', cpuPerMillion: 10, peakMb: 180 }),
      measurement('tool', 90_000),
      measurement('sink', 50_000, { unit: 'rows', cpuPerMillion: 12, peakMb: 190 }),
    ],
    { sink: ['tool', 'absent'] },
  )
  expect(table.split('\n').slice(2)).toEqual([
    '| tool | 100,000 records/s | 90,000–200,000 |  |  | 1.0 |  |',
    '| sink | 50,000 rows/s | 40,000–60,000 | 0.50 of tool | 12.0 | 1.0 | 200 |',
  ])
})
