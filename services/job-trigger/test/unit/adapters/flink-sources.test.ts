import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { InputRange, Run } from '@mesh/shared/core/runs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createFlinkSources } from '../../../src/adapters/flink-sources.ts'
import type { Execution } from '../../../src/core/ports.ts'
import { runInput } from '../../../src/core/run-input.ts'
import { NEVER_STREAMED } from '../../../src/core/streaming.ts'
import { job, run } from '../../support/jobs.ts'

/** In place of the registry: one schema for every topic. */
let schema: object = { type: 'record', name: 'F', fields: [{ name: 'id', type: 'string' }] }
let server: Server
beforeAll(async () => {
  server = createServer((request, response) => {
    const found = request.url === '/subjects/refined.flights.v1-value/versions/latest'
    response.writeHead(found ? 200 : 404).end(JSON.stringify({ schema: JSON.stringify(schema) }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(() => server.close())

const KEY = { layer: 'silver', stream: 'flights', version: 1, lane: 'main', topicId: 'tid' } as const
const range = (partition: number, from: number, to: number): InputRange => ({
  ...KEY,
  partition,
  from,
  to,
  after: from > 0 ? { [`main;raw;${partition}`]: { offset: from - 1, index: 0 } } : {},
  upTo: { [`main;raw;${partition}`]: { offset: to - 1, index: 0 } },
})

function executionOver(vector: readonly InputRange[], asOf: Readonly<Record<number, number>>): Execution {
  const positions = Object.entries(asOf).map(([partition, offset]) => ({
    ...KEY,
    partition: Number(partition),
    offset,
    highest: {},
    at: '2026-03-01T00:00:00Z',
    objects: [],
  }))
  const own: Run = { ...run('gold.1'), vector, asOf: positions, streams: { flights: { version: 1, epoch: 0 } } }
  return { id: 'gold.1.1', run: own, job: job({ engine: 'flink' }), input: runInput(own, 'gold.1.1') }
}

/** Offsets that Flink committed for the job's group. */
let read = new Map<number, { offset: number; metadata: string }>()
const sources = (starts: readonly number[], topicId = 'tid'): ReturnType<typeof createFlinkSources> =>
  createFlinkSources({
    admin: {
      topicIds: async () => new Map([['refined.flights.v1', topicId]]),
      committed: async (group) => (group === 'mesh.flink.gold' ? read : new Map()),
      offsets: async () =>
        starts.map((logStartOffset, partition) => ({
          partition,
          logStartOffset,
          highWatermark: 100,
          lastStableOffset: 100,
        })),
    },
    brokers: 'b:9092',
    registryUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
  })

test('every partition is bounded: by the range of the run, by what it may read, or as empty', async () => {
  const execution = executionOver([range(0, 5, 9)], { 0: 9, 1: 4 })
  const { statements, problem } = await sources([2, 0, 0]).tablesOf(execution)
  expect(problem).toBeNull()
  expect(statements[0]).toContain('partition:0,offset:5;partition:1,offset:4;partition:2,offset:0')
  expect(statements[1]).toContain('partition:0,offset:2;partition:1,offset:0;partition:2,offset:0')
  for (const table of statements.slice(0, 2)) {
    expect(table).toContain('partition:0,offset:9;partition:1,offset:4;partition:2,offset:0')
  }
  expect(statements[2]).toContain("VALUES ('main;raw;0', CAST(4 AS BIGINT), 0)")
})

test('a range that retention has reached is a problem, not a smaller result', async () => {
  const execution = executionOver([range(0, 5, 9)], { 0: 9 })
  expect((await sources([6]).tablesOf(execution)).problem).toBe(
    'refined.flights.v1 partition 0 begins at 6 by now; the run begins at 5',
  )
})

test('a topic that was created anew is not the one that the run is over', async () => {
  const execution = executionOver([range(0, 5, 9)], { 0: 9 })
  expect((await sources([0], 'other').tablesOf(execution)).problem).toMatch(/was created anew.*tid/)
})

test('a schema that Flink cannot read names its fields', async () => {
  const before = schema
  schema = { type: 'record', name: 'F', fields: [{ name: 'e', type: { type: 'enum', name: 'E', symbols: ['A'] } }] }
  const { problem } = await sources([0]).tablesOf(executionOver([range(0, 0, 9)], { 0: 9 }))
  expect(problem).toMatch(/^the field e of refined\.flights\.v1 is the enum E/)
  schema = before
})

test('a registry that cannot answer keeps the run waiting', async () => {
  const none = createFlinkSources({
    admin: { topicIds: async () => new Map(), offsets: async () => [], committed: async () => new Map() },
    brokers: 'b',
    registryUrl: null,
  })
  await expect(none.tablesOf(executionOver([], { 0: 9 }))).rejects.toMatchObject({ code: 'MESH_JOB_ENGINE_AWAY' })
})

function streamingOver(vector: readonly InputRange[], recoverFrom: string | null, options: object = {}): Execution {
  const bounded = executionOver(vector, { 0: 9 })
  const own = { ...bounded.run, streaming: { ...NEVER_STREAMED, recoverFrom } }
  return { ...bounded, run: own, job: job({ engine: 'flink', streaming: true, options: { sql: 'a.sql', ...options } }) }
}

test('a run that streams reads from the start offsets of its vector on, from the earliest record where that is 0', async () => {
  const { statements } = await sources([2, 0, 3]).tablesOf(streamingOver([range(0, 0, 9), range(1, 5, 9)], null))
  expect(statements).toHaveLength(2)
  expect(statements[0]).toContain("'partition:0,offset:2;partition:1,offset:5;partition:2,offset:3'")
  expect(statements[0]).not.toContain('scan.bounded')
})

test('resumed, it is refused where retention has gone past what it has read', async () => {
  const execution = streamingOver([range(0, 0, 9)], 'file:///sp')
  read = new Map([[0, { offset: 20, metadata: '' }]])
  expect((await sources([20]).tablesOf(execution)).problem).toBeNull()
  expect((await sources([21]).tablesOf(execution)).problem).toBe(
    'refined.flights.v1 partition 0 begins at 21 by now; the job has read up to 20',
  )
  read = new Map()
})

test('a watermark needs a timestamp of the schema', async () => {
  const watermarks = { flights: { column: 'id', delay: '1h' } }
  const execution = streamingOver([range(0, 0, 9)], null, { watermarks })
  expect((await sources([0]).tablesOf(execution)).problem).toBe(
    "refined.flights.v1: the watermark's column `id` is no timestamp of its schema; there are: none",
  )
  const before = schema
  schema = {
    type: 'record',
    name: 'F',
    fields: [{ name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } }],
  }
  const good = streamingOver([range(0, 0, 9)], null, { watermarks: { flights: { column: 'at', delay: '1h' } } })
  expect((await sources([0]).tablesOf(good)).statements[0]).toContain(
    "WATERMARK FOR `at` AS `at` - INTERVAL '0 01:00:00.000'",
  )
  schema = before
})
