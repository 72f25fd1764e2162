import { expect, test } from 'vitest'
import { type FlinkStream, streamStatements } from '../../../src/core/flink-stream-tables.ts'

const STREAM: FlinkStream = {
  input: {
    stream: 'web-clicks',
    topic: 'refined.web-clicks.v1',
    columns: [{ name: 'id', type: 'STRING NOT NULL' }],
    ranges: [
      { partition: 0, start: 2, from: 5, to: 5 },
      { partition: 1, start: 0, from: 0, to: 0 },
    ],
    after: {},
    brokers: 'b:9092',
    registry: 'http://r',
  },
  group: 'mesh.flink.days',
  watermark: null,
}

test('a stream is one view without an end, from the start offsets on, read_committed, in the group of its job', () => {
  const [table, view, ...others] = streamStatements(STREAM)
  expect(others).toEqual([])
  expect(table).toContain("'scan.startup.specific-offsets' = 'partition:0,offset:5;partition:1,offset:0'")
  expect(table).toContain("'properties.group.id' = 'mesh.flink.days'")
  expect(table).toContain("'properties.isolation.level' = 'read_committed'")
  expect(table).not.toMatch(/scan\.bounded|WATERMARK/)
  expect(view).toMatch(/^CREATE TEMPORARY VIEW `web_clicks` AS/)
  expect(view).toMatch(/WHERE \(`_before` IS NULL OR `_at` > `_before`\)$/)
})

test.for([
  [0, "INTERVAL '0 00:00:00.000' DAY(3) TO SECOND(3)"],
  [90_061_500, "INTERVAL '1 01:01:01.500' DAY(3) TO SECOND(3)"],
] as const)('a watermark of %d ms', ([delayMs, interval]) => {
  const [table] = streamStatements({ ...STREAM, watermark: { column: 'at', delayMs } })
  expect(table).toContain(`WATERMARK FOR \`at\` AS \`at\` - ${interval}`)
})

test('what batches of the same job have had of a sequence is left out, in the order of numbers', () => {
  const after = { 'main;t;0': { offset: 41, index: 2 } }
  const view = streamStatements({ ...STREAM, input: { ...STREAM.input, after } })[1]
  expect(view).toMatch(/AND \(`_sequence` <> 'main;t;0' OR `_at` > '000000000000000000410000000002'\)$/)
})
