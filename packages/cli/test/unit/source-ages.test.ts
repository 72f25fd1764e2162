import { expect, test } from 'vitest'
import { renderSourceAges, type SourceAge, sourceAges } from '../../src/dbt/source-ages.ts'

const DAY = { count: 1, period: 'day' }
const NONE = { count: null, period: null }
/** As dbt writes it. */
const result = (table: string, more: object): object => ({
  unique_id: `source.mesh.landing.${table}`,
  max_loaded_at: '2026-03-01T10:00:00+00:00',
  max_loaded_at_time_ago_in_s: 59.6,
  status: 'pass',
  criteria: { warn_after: DAY, error_after: NONE, filter: null },
  ...more,
})
const ages = (...results: object[]): SourceAge[] => sourceAges(JSON.stringify({ results }))

test('a table has its age, its clock and what the project allows; tables come in order', () => {
  const both = ages(
    result('github', { criteria: { warn_after: NONE, error_after: { count: 2, period: 'hour' } } }),
    result('flights', {}),
  )
  expect(both.map(({ table }) => table)).toEqual(['flights', 'github'])
  expect(both[0]).toEqual({
    table: 'flights',
    status: 'pass',
    writtenAt: '2026-03-01T10:00:00+00:00',
    ageSeconds: 60,
    warnAfter: '1 day',
    errorAfter: null,
  })
  expect(both[1]).toMatchObject({ warnAfter: null, errorAfter: '2 hours' })
})

test('what was never written has no age, though dbt counts it from the year 1', () => {
  const [age] = ages(
    result('flights', {
      max_loaded_at: '0001-01-01T00:00:00+00:00',
      max_loaded_at_time_ago_in_s: 6.3e10,
      status: 'warn',
    }),
  )
  expect(age).toMatchObject({ status: 'warn', writtenAt: null, ageSeconds: null })
  expect(renderSourceAges([age!])).toMatch(/flights +warn +never +- +1 day +-$/m)
})

test.each([
  [119, '119 s'],
  [120, '2 min'],
  [7200, '2 h'],
  [172_800, '2 d'],
])('%i s are %s', (seconds, text) => {
  expect(renderSourceAges(ages(result('flights', { max_loaded_at_time_ago_in_s: seconds })))).toContain(text)
})
