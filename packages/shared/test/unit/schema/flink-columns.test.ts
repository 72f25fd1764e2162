import { expect, test } from 'vitest'
import { parseRecordAvsc } from '../../../src/schema/avro-schema.ts'
import { flinkColumns } from '../../../src/schema/flink-columns.ts'

const logical = (type: string, logicalType: string, more: object = {}): object => ({ type, logicalType, ...more })
const of = (...types: readonly unknown[]): ReturnType<typeof flinkColumns> => {
  const fields = types.map((type, i) => ({ name: `f${i}`, type }))
  return flinkColumns(parseRecordAvsc(JSON.stringify({ type: 'record', name: 'R', fields })))
}

test.for([
  ['string', 'STRING NOT NULL'],
  [['null', 'string'], 'STRING'],
  [['int', 'null'], 'INT'],
  ['long', 'BIGINT NOT NULL'],
  ['double', 'DOUBLE NOT NULL'],
  ['bytes', 'BYTES NOT NULL'],
  [logical('int', 'date'), 'DATE NOT NULL'],
  [logical('int', 'time-millis'), 'TIME(3) NOT NULL'],
  [logical('long', 'timestamp-millis'), 'TIMESTAMP(3) NOT NULL'],
  [['null', logical('long', 'local-timestamp-millis')], 'TIMESTAMP(3)'],
  [logical('string', 'uuid'), 'STRING NOT NULL'],
  [logical('bytes', 'decimal', { precision: 12, scale: 2 }), 'DECIMAL(12, 2) NOT NULL'],
  [{ type: 'array', items: ['null', 'long'] }, 'ARRAY<BIGINT> NOT NULL'],
  [{ type: 'map', values: 'int' }, 'MAP<STRING NOT NULL, INT NOT NULL> NOT NULL'],
  [{ type: 'record', name: 'P', fields: [{ name: 'x', type: 'int' }] }, 'ROW<`x` INT NOT NULL> NOT NULL'],
] as const)('%j is %s: NOT NULL mirrors the field', ([type, column]) => {
  expect(of(type)).toEqual({ columns: [{ name: 'f0', type: column }], problems: [] })
})

test.for([
  ['an enum', { type: 'enum', name: 'E', symbols: ['A'] }, /is the enum E; Flink reads no Avro enum: make it a string/],
  ['an enum that may be null', ['null', { type: 'enum', name: 'E', symbols: ['A'] }], /enum E/],
  ['an enum in an array', { type: 'array', items: { type: 'enum', name: 'E', symbols: ['A'] } }, /enum E/],
  ['microseconds', logical('long', 'timestamp-micros'), /timestamp-micros; Flink reads timestamp-millis/],
  ['local microseconds', logical('long', 'local-timestamp-micros'), /Flink reads local-timestamp-millis/],
  ['a time in microseconds', logical('long', 'time-micros'), /Flink reads time-millis/],
  ['a fixed', { type: 'fixed', name: 'F', size: 4 }, /no Avro fixed/],
  ['a union of two types', ['null', 'int', 'string'], /no union but of null and one type/],
  ['a decimal beyond 38 digits', logical('bytes', 'decimal', { precision: 40, scale: 2 }), /40 digits/],
] as const)('%s is a problem of its field', ([, type, reason]) => {
  const { columns, problems } = of('int', type)
  expect(columns).toEqual([{ name: 'f0', type: 'INT NOT NULL' }])
  expect(problems).toEqual([{ field: 'f1', reason: expect.stringMatching(reason) }])
})

test('a problem inside a record names the way to it; a record inside itself is one', () => {
  const inner = { type: 'record', name: 'P', fields: [{ name: 'at', type: logical('long', 'timestamp-micros') }] }
  expect(of(inner).problems).toMatchObject([{ field: 'f0.at' }])
  const tree = { type: 'record', name: 'T', fields: [{ name: 'child', type: ['null', 'T'] }] }
  expect(of(tree).problems).toMatchObject([{ reason: expect.stringContaining('contains itself') }])
})
