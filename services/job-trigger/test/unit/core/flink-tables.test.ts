import { expect, test } from 'vitest'
import { type FlinkInput, inputStatements } from '../../../src/core/flink-tables.ts'

const INPUT: FlinkInput = {
  stream: 'web-clicks',
  topic: 'refined.web-clicks.v1',
  columns: [{ name: 'id', type: 'STRING NOT NULL' }],
  ranges: [
    { partition: 0, start: 2, from: 5, to: 9 },
    { partition: 1, start: 0, from: 4, to: 4 },
  ],
  after: {},
  brokers: 'b:9092',
  registry: "http://r/it's",
}

test('a stream is a view over the range of the run, and one over all that the topic has up to its end', () => {
  const [own, all, view, allView] = inputStatements(INPUT)
  expect(own).toMatch(/^CREATE TEMPORARY TABLE `web_clicks_records`/)
  expect(own).toContain("'scan.startup.specific-offsets' = 'partition:0,offset:5;partition:1,offset:4'")
  expect(all).toContain("'scan.startup.specific-offsets' = 'partition:0,offset:2;partition:1,offset:0'")
  for (const table of [own, all]) {
    expect(table).toContain("'scan.bounded.specific-offsets' = 'partition:0,offset:9;partition:1,offset:4'")
    expect(table).toContain("'properties.isolation.level' = 'read_committed'")
    expect(table).toContain("'value.avro-confluent.url' = 'http://r/it''s'")
  }
  expect(view).toMatch(/^CREATE TEMPORARY VIEW `web_clicks` AS/)
  expect(allView).toMatch(/^CREATE TEMPORARY VIEW `web_clicks_all` AS/)
  expect(view).not.toContain('LEFT JOIN')
})

test('what earlier runs had of a sequence is left out of the run, not of the whole', () => {
  const [, , view, all] = inputStatements({ ...INPUT, after: { 'main;tid;0': { offset: 41, index: 2 } } })
  expect(view).toContain("VALUES ('main;tid;0', CAST(41 AS BIGINT), 2)")
  expect(all).not.toContain('VALUES')
})
