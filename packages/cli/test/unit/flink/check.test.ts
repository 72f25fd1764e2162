import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readJobsFolder } from '@mesh/shared/schema/jobs-folder'
import { afterAll, expect, test } from 'vitest'
import { flinkProblems } from '../../../src/flink/check.ts'

const root = mkdtempSync(join(tmpdir(), 'mesh-flink-check-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const STREAM = `name: orders
description: Orders
owner: shop@example.com
key: /id
ingest: [{ kind: events, auth: api-key }]
raw: { partitions: 1, retention: 7d }
refine: { schema: refined.avsc, guarantee: at-least-once, cleanup: delete }
`
const AVSC = `{
  "type": "record", "name": "Order", "fields": [
    { "name": "id", "type": "string" },
    { "name": "state", "type": { "type": "enum", "name": "State", "symbols": ["open"] } },
    { "name": "at",
      "type": { "type": "long", "logicalType": "timestamp-micros" } }
  ]
}
`
let next = 0
function project(avsc: string, sql: string | null, job = 'flink: { sql: a.sql }'): string {
  const folder = join(root, String(next++))
  mkdirSync(join(folder, 'streams', 'orders'), { recursive: true })
  mkdirSync(join(folder, 'jobs'))
  writeFileSync(join(folder, 'streams', 'orders', 'stream.yaml'), STREAM)
  writeFileSync(join(folder, 'streams', 'orders', 'refined.avsc'), avsc)
  if (sql !== null) writeFileSync(join(folder, 'a.sql'), sql)
  writeFileSync(
    join(folder, 'jobs', 'totals.yaml'),
    `name: totals\nengine: flink\ninputs: [{ stream: orders, layer: silver }]\n${job}\n`,
  )
  return folder
}
const texts = async (folder: string): Promise<string[]> =>
  (await flinkProblems(folder, await readJobsFolder(join(folder, 'jobs'), null))).map(({ text }) => text)
const GOOD = "INSERT INTO a SELECT '${mesh.run}' FROM orders"

test('fields that Flink cannot read are named with file and line, once a Flink job reads their stream', async () => {
  expect(await texts(project(AVSC, GOOD))).toEqual([
    'streams/orders/refined.avsc:4: the field state is the enum State; Flink reads no Avro enum: make it a string (read by jobs/totals.yaml)',
    'streams/orders/refined.avsc:5: the field at is a timestamp-micros; Flink reads timestamp-millis (read by jobs/totals.yaml)',
  ])
  const other = project(AVSC, null, 'flink: { sql: a.sql }')
  writeFileSync(
    join(other, 'jobs', 'totals.yaml'),
    'name: totals\nengine: command\ninputs: [{ stream: orders, layer: silver }]\ncommand: { run: [ls] }\n',
  )
  expect(await texts(other)).toEqual([])
})

test('a script is checked too: that it is there, what it uses, that it is one job', async () => {
  const good = AVSC.replace('{ "type": "enum", "name": "State", "symbols": ["open"] }', '"string"').replace(
    'micros',
    'millis',
  )
  expect(await texts(project(good, GOOD))).toEqual([])
  expect(await texts(project(good, null))).toEqual(['jobs/totals.yaml:4: there is no script a.sql'])
  expect(await texts(project(good, '\nINSERT INTO a SELECT ${x}'))).toEqual([
    expect.stringMatching(/^a\.sql:2: there is no \$\{x\}; there are: .*mesh\.run.* \(jobs\/totals\.yaml\)$/),
  ])
})

test('the column of a watermark is a timestamp of its schema', async () => {
  const good = AVSC.replace('{ "type": "enum", "name": "State", "symbols": ["open"] }', '"string"').replace(
    'micros',
    'millis',
  )
  const job = (column: string): string =>
    `flink:\n  sql: a.sql\n  mode: streaming\n  watermarks:\n    orders:\n      delay: 1h\n      column: ${column}`
  expect(await texts(project(good, GOOD, job('at')))).toEqual([])
  expect(await texts(project(good, GOOD, job('state')))).toEqual([
    "jobs/totals.yaml:10: the watermark's column `state` is no timestamp of its schema; there are: at",
  ])
})
