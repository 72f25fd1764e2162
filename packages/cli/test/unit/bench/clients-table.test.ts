import { expect, test } from 'vitest'
import { type RoleMeasurement, renderClients } from '../../../../../tests/bench/clients-table.ts'

const measured = (client: string, perSecond: number, perCpuSecond: number | null): RoleMeasurement => ({
  role: 'publish',
  client,
  perSecond,
  perCpuSecond,
  peakMb: perCpuSecond === null ? null : 200,
})

test('a client has its medians and extremes, and their ratios to the first client of the role', () => {
  const table = renderClients([
    measured('old', 10_000, 20_000),
    measured('new', 30_000, 30_000),
    measured('old', 12_000, 20_000),
    measured('new', 24_000, 50_000),
    measured('old', 8000, 10_000),
    measured('new', 20_000, 40_000),
    { ...measured('tool', 90_000, null), role: 'ceiling' },
  ])
  expect(table.split('\n').slice(2)).toEqual([
    '| publish | old | 10,000 (8,000–12,000) |  | 20,000 (10,000–20,000) |  | 200 |',
    '| publish | new | 24,000 (20,000–30,000) | 2.40 | 40,000 (30,000–50,000) | 2.00 | 200 |',
    '| ceiling | tool | 90,000 (90,000–90,000) |  |  |  |  |',
  ])
})
