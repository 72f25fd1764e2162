import { join } from 'node:path'
import { beforeAll, expect, test } from 'vitest'
import { renderLineage } from '../../../src/commands/lineage.ts'
import type { LineageGraph } from '../../../src/lineage/graph.ts'
import { readProjectLineage } from '../../../src/lineage/read-lineage.ts'
import { type Direction, findPlace, placeText, walk } from '../../../src/lineage/walk.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..', '..')
let graph: LineageGraph

/** The real streams and the real dbt project. */
beforeAll(async () => {
  const read = await readProjectLineage(ROOT)
  expect(read.remark).toBeNull()
  graph = read.graph
})

const stepsOf = (text: string, direction: Direction): string[] =>
  walk(graph, findPlace(graph, text), direction).map(({ depth, edge }) => {
    const place = direction === 'upstream' ? edge.from : edge.to
    return `${depth} ${placeText(place)} ${edge.basis}`
  })

test('a gold column is followed to the field of the event', () => {
  expect(stepsOf('daily_airport_delays.avg_delay', 'upstream')).toEqual([
    '1 landing.flights.delay exact',
    '2 refined.flights.delay exact',
    '3 raw.flights/delay declared',
  ])
})

test('a joined column is followed into the stream that it is joined from', () => {
  expect(stepsOf('gold.daily_airport_delays.city', 'upstream')).toEqual([
    '1 landing.flights.originCity exact',
    '2 refined.flights.originCity exact',
    '3 refined.airports.city declared',
    '4 raw.airports/city declared',
  ])
})

test('a field of an event is followed to gold; exposures are told by table', () => {
  const steps = stepsOf('raw.flights/distance', 'downstream')
  expect(steps).toContain('3 gold.route_performance.distance exact')
  expect(steps).toContain('4 exposure.operations_board table')
  expect(steps.some((step) => step.includes('daily_airport_delays'))).toBe(false)
})

test('what refine.ts does without a declaration is told by dataset, never by name', () => {
  expect(stepsOf('github.title', 'upstream')).toEqual(['1 raw.github table'])
  expect(stepsOf('raw.github/title', 'downstream')).toContain('1 refined.github table')
})

test('a count of rows is made of no column, which is no gap', () => {
  expect(stepsOf('gold.daily_airport_delays.flights', 'upstream')).toEqual(['1 gold.daily_airport_delays exact'])
})

test('a dataset is followed by dataset', () => {
  expect(stepsOf('exposure.repository_report', 'upstream')).toEqual([
    '1 gold.repository_activity table',
    '2 landing.github table',
    '3 refined.github table',
    '4 raw.github table',
  ])
})

test('a name that is not there is answered with those that are', () => {
  expect(() => findPlace(graph, 'gold.nothing')).toThrow(/there is no dataset gold.nothing; there are: .*gold.airports/)
  expect(() => findPlace(graph, 'landing.flights.nothing')).toThrow(/no column nothing; it has: id, flightDate/)
})

test('the text says how each step is known', () => {
  const start = findPlace(graph, 'route_performance.first_date')
  const text = renderLineage(start, [{ direction: 'upstream', steps: walk(graph, start, 'upstream') }])
  expect(text.split('\n')).toEqual([
    'gold.route_performance.first_date',
    '',
    'comes from',
    '  landing.flights.flightDate    an aggregate in SQL',
    '    refined.flights.flightDate  same column by contract',
    '      raw.flights/date          declared in refined.avsc',
  ])
})
