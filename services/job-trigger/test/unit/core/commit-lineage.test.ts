import { ZERO_COUNTS } from '@mesh/shared/core/books'
import { openLineageProblems } from '@mesh/shared/testing/open-lineage-schema'
import { expect, test } from 'vitest'
import { commitLineage, type StreamShape } from '../../../src/core/commit-lineage.ts'
import { placesOf } from '../../../src/core/lineage-datasets.ts'
import { commit, versions } from '../../support/jobs.ts'

const places = placesOf({
  kafkaBrokers: ['broker:9092'],
  lakeUrl: 'file:///lake/',
  warehouseUrl: 'duckdb:///w/mesh.duckdb',
  goldUrl: 'duckdb:///w/gold.duckdb',
})
const shape: StreamShape = {
  columns: [
    { name: 'origin', type: 'string' },
    { name: 'originCity', type: 'string' },
    { name: 'delay', type: 'int' },
  ],
  joins: ['airports'],
  declared: new Map([
    ['origin', [{ stream: null, field: '/origin' }]],
    ['originCity', [{ stream: 'airports', field: 'city' }]],
  ]),
}
const known = new Map([
  ['flights', versions()],
  ['airports', versions('airports', 2)],
])
const options = { places, namespace: 'mesh', versions: known, shape, before: null }
const names = (datasets: readonly { namespace: string; name: string }[]): string[] =>
  datasets.map(({ namespace, name }) => `${namespace} ${name}`)

test.each([
  ['bronze', ['kafka://broker:9092 raw.flights.v1'], 'file /lake/bronze/flights'],
  [
    'refined',
    ['kafka://broker:9092 raw.flights.v1', 'kafka://broker:9092 refined.airports.v2'],
    'kafka://broker:9092 refined.flights.v1',
  ],
  ['silver', ['kafka://broker:9092 refined.flights.v1'], 'file /lake/silver/flights/v1'],
  ['landing', ['kafka://broker:9092 refined.flights.v1'], 'duckdb:///w/mesh.duckdb main.FLIGHTS__V1'],
] as const)('a commit event of %s is a run from its source to its dataset', (layer, inputs, output) => {
  const events = commitLineage(commit(10, { layer }), options)
  expect(events.flatMap(openLineageProblems)).toEqual([])
  expect(events.map(({ eventType }) => eventType)).toEqual(['START', 'COMPLETE'])
  expect(names(events[1]!.inputs)).toEqual(inputs)
  expect(names(events[1]!.outputs)).toEqual([output])
  expect(events[0]!.run.runId).toBe(events[1]!.run.runId)
})

test('the same step has the same run id, another offset, partition or layer another one', () => {
  const id = (event = commit(10)): string => commitLineage(event, options)[0]!.run.runId
  expect(id()).toBe(id(commit(10, { at: '2027-01-01T00:00:00Z' })))
  const others = [
    commit(11),
    commit(10, { partition: 1 }),
    commit(10, { layer: 'silver' }),
    commit(10, { topicId: 'x' }),
  ]
  expect(new Set([id(), ...others.map((event) => id(event))]).size).toBe(5)
})

test('rows are those of the step: the counts less those of the step before, and unknown without it', () => {
  const before = commit(10, { counts: { ...ZERO_COUNTS, outputs: 8 } })
  const event = commit(25, { firstOffset: 10, counts: { ...ZERO_COUNTS, outputs: 20 } })
  const rows = (given: typeof before | null): unknown =>
    commitLineage(event, { ...options, before: given })[1]!.outputs[0]!.outputFacets?.['outputStatistics']?.['rowCount']
  expect(rows(before)).toBe(12)
  expect(rows(null)).toBeUndefined()
  expect(rows(commit(9))).toBeUndefined()
})

test('the offset vector and the books of the step are in a facet of their own', () => {
  const [start] = commitLineage(commit(10), options)
  expect(start!.run.facets['mesh_offsets']).toMatchObject({
    vector: [{ layer: 'landing', stream: 'flights', version: 1, partition: 0, from: 0, to: 10 }],
    cumulative: { outputs: 0 },
  })
})

test('refine.ts is told only as far as the contract declares it; landing is told in full', () => {
  const fieldsOf = (layer: 'refined' | 'landing'): Record<string, { inputFields: { name: string; field: string }[] }> =>
    commitLineage(commit(10, { layer }), options)[1]!.outputs[0]!.facets!['columnLineage']!['fields'] as never
  expect(Object.keys(fieldsOf('refined'))).toEqual(['origin', 'originCity'])
  expect(fieldsOf('refined')['originCity']!.inputFields).toMatchObject([{ name: 'refined.airports.v2', field: 'city' }])
  expect(Object.keys(fieldsOf('landing'))).toEqual(['origin', 'originCity', 'delay'])
  expect(fieldsOf('landing')['delay']!.inputFields).toMatchObject([{ name: 'refined.flights.v1', field: 'delay' }])
})

test('a candidate that reads its history from a replay topic has that as its source', () => {
  const state = versions('flights', 1, 0, 2)
  const replay = { job: 'j', topic: 'replay.flights.j', topicId: 'replay-id', ends: null, changeover: [] }
  const versionsOf = state.versions.map((each) => (each.version === 2 ? { ...each, replay } : each))
  const own = { ...options, versions: new Map([['flights', { ...state, versions: versionsOf }]]) }
  const event = commit(10, { layer: 'refined', version: 2, topicId: 'replay-id' })
  expect(commitLineage(event, own)[1]!.inputs[0]!.name).toBe('replay.flights.j')
})
