import type { Run } from '@mesh/shared/core/runs'
import { modelLineage } from '@mesh/shared/lineage/dbt-lineage'
import { readManifest } from '@mesh/shared/lineage/dbt-manifest'
import { parseSelects } from '@mesh/shared/lineage/sql-tree'
import { openLineageProblems } from '@mesh/shared/testing/open-lineage-schema'
import { expect, test } from 'vitest'
import { placesOf } from '../../../src/core/lineage-datasets.ts'
import { type DbtArtefacts, runLineage } from '../../../src/core/run-lineage.ts'
import { run } from '../../support/jobs.ts'

const places = placesOf({
  kafkaBrokers: ['b:1'],
  lakeUrl: null,
  warehouseUrl: 'duckdb:///w/mesh.duckdb',
  goldUrl: 'duckdb:///w/gold.duckdb',
})

async function artefacts(): Promise<DbtArtefacts> {
  const manifest = readManifest({
    sources: {
      s: {
        unique_id: 's',
        name: 'flights',
        identifier: 'FLIGHTS',
        columns: { origin: { name: 'origin' }, delay: { name: 'delay' } },
      },
    },
    nodes: {
      stg: {
        resource_type: 'model',
        unique_id: 'stg',
        name: 'stg',
        config: { materialized: 'ephemeral' },
        depends_on: { nodes: ['s'] },
        raw_code: "select origin as airport, delay from {{ mesh_landing('flights') }}",
      },
      delays: {
        resource_type: 'model',
        unique_id: 'delays',
        name: 'delays',
        config: { materialized: 'table' },
        columns: { airport: { name: 'airport', data_type: 'varchar', description: 'IATA' } },
        depends_on: { nodes: ['stg'] },
        raw_code: "select airport, max(delay) as worst from {{ ref('stg') }} group by airport",
      },
    },
    exposures: { e: { unique_id: 'e', name: 'board', type: 'dashboard', depends_on: { nodes: ['delays'] } } },
  })
  return { manifest, lineage: await modelLineage(manifest, parseSelects) }
}

const range = {
  layer: 'landing',
  stream: 'flights',
  version: 2,
  lane: 'main',
  topicId: 't',
  partition: 0,
  from: 3,
  to: 9,
  after: {},
  upTo: {},
} as const
const position = { ...range, offset: 9, highest: {}, at: '2026-03-01T00:00:00Z', objects: ['FLIGHTS__V2'] }
const ended: Partial<Run> = {
  engine: 'dbt',
  attempt: 1,
  attempts: [{ number: 1, startedAt: '2026-03-01T00:00:01Z', endedAt: '2026-03-01T00:00:02Z', error: null }],
  vector: [range],
  asOf: [position],
  streams: { flights: { version: 2, epoch: 1 } },
  result: { outputs: [{ name: 'gold.main.delays', status: 'success' }], artefacts: {}, message: null },
}

test('a dbt run that ended well is the run, one run per model and exposure, and columns down to landing', async () => {
  const options = { places, namespace: 'mesh', artefacts: await artefacts() }
  const events = runLineage(run('gold.1', { ...ended, state: 'succeeded' }), options)
  expect(events.flatMap(openLineageProblems)).toEqual([])
  expect(events.map(({ eventType, job }) => `${eventType} ${job.name}`)).toEqual([
    'COMPLETE gold',
    'START gold.delays',
    'COMPLETE gold.delays',
    'START gold.exposure.board',
    'COMPLETE gold.exposure.board',
  ])
  const [own, , model, , exposure] = events
  expect(own!.inputs).toEqual([{ namespace: 'duckdb:///w/mesh.duckdb', name: 'main.FLIGHTS__V2' }])
  expect(own!.run.facets['mesh_offsets']).toMatchObject({ vector: [{ from: 3, to: 9 }] })
  expect(model!.run.facets['parent']).toMatchObject({ run: { runId: own!.run.runId } })
  expect(model!.inputs).toEqual(own!.inputs)
  expect(model!.outputs[0]!.facets!['columnLineage']!['fields']).toMatchObject({
    airport: {
      inputFields: [{ name: 'main.FLIGHTS__V2', field: 'origin', transformations: [{ subtype: 'IDENTITY' }] }],
    },
    worst: { inputFields: [{ field: 'delay', transformations: [{ subtype: 'AGGREGATION' }] }] },
  })
  expect([exposure!.inputs[0]!.name, exposure!.outputs[0]!.name]).toEqual(['main.delays', 'board'])
})

test('running is START and every failed attempt FAIL, each attempt a run of its own', () => {
  const options = { places, namespace: 'mesh', artefacts: null }
  const error = { code: 'MESH_JOB_FAILED', message: 'no' }
  const events = [
    run('gold.1', { ...ended, state: 'running' }),
    run('gold.1', { ...ended, state: 'failed', error }),
    run('gold.1', { ...ended, state: 'dead', attempt: 2, error }),
  ].flatMap((record) => runLineage(record, options))
  expect(events.flatMap(openLineageProblems)).toEqual([])
  expect(events.map(({ eventType }) => eventType)).toEqual(['START', 'FAIL', 'FAIL'])
  expect(events[0]!.run.runId).toBe(events[1]!.run.runId)
  expect(events[2]!.run.runId).not.toBe(events[1]!.run.runId)
  expect(events[1]!.run.facets['errorMessage']).toMatchObject({ message: 'MESH_JOB_FAILED: no' })
})

test('a run that nothing was written for says nothing', () => {
  const options = { places, namespace: 'mesh', artefacts: null }
  expect(
    ['planned', 'superseded'].flatMap((state) => runLineage(run('r', { state: state as 'planned' }), options)),
  ).toEqual([])
})

test('a run that streams is a streaming run, complete when it is stopped, and its resume is another one', () => {
  const options = { places, namespace: 'mesh', artefacts: null }
  const streaming = { recoverFrom: null, stop: null, engineState: 'RUNNING', program: null, changed: false }
  const events = [
    run('gold.1', { ...ended, engine: 'flink', state: 'running', streaming }),
    run('gold.1', { ...ended, engine: 'flink', state: 'stopped', streaming }),
    run('gold.1', { ...ended, engine: 'flink', state: 'running', attempt: 2, streaming }),
  ].flatMap((record) => runLineage(record, options))
  expect(events.flatMap(openLineageProblems)).toEqual([])
  expect(events.map(({ eventType }) => eventType)).toEqual(['START', 'COMPLETE', 'START'])
  expect(events[0]!.job.facets['jobType']).toMatchObject({ processingType: 'STREAMING' })
  expect(events[2]!.run.runId).not.toBe(events[1]!.run.runId)
})
