import { describe, expect, it } from 'vitest'
import { columnsOf, createColumnReader, jsonText } from '../../../src/schema/columns.ts'

const logical = (type: string, logicalType: string, rest: object = {}): object => ({ type, logicalType, ...rest })
const AVSC = JSON.stringify({
  type: 'record',
  name: 'R',
  fields: [
    { name: 'b', type: 'boolean' },
    { name: 'i', type: 'int' },
    { name: 'l', type: ['null', 'long'] },
    { name: 'f', type: 'float' },
    { name: 'd', type: ['double', 'null'] },
    { name: 's', type: 'string' },
    { name: 'y', type: 'bytes' },
    { name: 'e', type: { type: 'enum', name: 'E', symbols: ['A'] } },
    { name: 'day', type: logical('int', 'date') },
    { name: 'time', type: logical('long', 'time-micros') },
    { name: 'at', type: ['null', logical('long', 'timestamp-micros')] },
    { name: 'local', type: logical('long', 'local-timestamp-millis') },
    { name: 'id', type: logical('string', 'uuid') },
    { name: 'price', type: logical('bytes', 'decimal', { precision: 12, scale: 4 }) },
    { name: 'wide', type: logical('bytes', 'decimal', { precision: 60, scale: 4 }) },
    { name: 'list', type: { type: 'array', items: 'long' } },
    { name: 'mixed', type: ['null', 'int', 'string'] },
    { name: 'map', type: ['null', { type: 'map', values: 'int' }] },
    { name: 'nanos', type: ['null', logical('long', 'timestamp-nanos')] },
  ],
})

describe('columnsOf', () => {
  it('gives each field its column type and whether it may be null', () => {
    expect(columnsOf(AVSC).map(({ name, type, nullable }) => `${name} ${type.kind}${nullable ? '?' : ''}`)).toEqual([
      'b boolean',
      'i int',
      'l bigint?',
      'f float',
      'd double?',
      's string',
      'y bytes',
      'e string',
      'day date',
      'time time',
      'at timestamptz?',
      'local timestamp',
      'id uuid',
      'price decimal',
      'wide string',
      'list json',
      'mixed json?',
      'map json?',
      'nanos string?',
    ])
    expect(columnsOf(AVSC)[13]!.type).toEqual({ kind: 'decimal', precision: 12, scale: 4 })
  })
})

describe('createColumnReader', () => {
  it('orders values by column, with bigints for longs and JSON text for nested values', () => {
    const read = createColumnReader(AVSC)
    const values = read({
      l: 5,
      s: 'x',
      list: [1, 2n ** 60n],
      mixed: 'm',
      b: false,
      day: '2020-01-01',
      price: '1.2000',
      nanos: '2020-01-01T00:00:00.000000001Z',
    })
    expect(values.slice(0, 6)).toEqual([false, null, 5n, null, null, 'x'])
    expect(values.slice(15)).toEqual(['[1,1152921504606846976]', '"m"', null, '2020-01-01T00:00:00.000000001Z'])
    expect(values[13]).toBe('1.2000')
  })
})

describe('jsonText', () => {
  it('keeps what JSON has no form for', () => {
    expect(jsonText({ a: Number.NaN, b: -Infinity, c: new Uint8Array([1, 2]), d: [null, 10n ** 20n], e: 'é"' })).toBe(
      '{"a":"NaN","b":"-Infinity","c":"AQI=","d":[null,100000000000000000000],"e":"é\\""}',
    )
  })
})
