import { isMeshError } from '@mesh/shared/core/errors'
import { parseJson } from '@mesh/shared/core/json-text'
import { describe, expect, test } from 'vitest'
import { readEnvelope } from '../../../src/core/debezium.ts'
import { mongoChange, postgresChange } from '../../changes.ts'

const read = (text: string) => readEnvelope(parseJson(text))

function codeOf(value: unknown): string {
  try {
    readEnvelope(value)
  } catch (error) {
    if (isMeshError(error)) return `${error.code} ${error.message}`
    throw error
  }
  return 'read'
}

describe('a Debezium envelope', () => {
  test.each(['c', 'u', 'd', 'r', 't'] as const)('of PostgreSQL, op %s', (op) => {
    const { change, position } = read(postgresChange({ op, after: { id: 1 }, lsn: 24_023_128 }))
    expect(change).toMatchObject({
      op,
      before: null,
      after: { id: 1 },
      source: { table: 'orders', ts_ms: 1_764_200_000_123 },
    })
    expect(position).toEqual({ server: 'shop', log: 24_023_128n, snapshot: op === 'r', shared: false })
    expect(Object.keys(change)).toEqual(['op', 'before', 'after', 'source'])
  })

  test('keeps decimals, times before 1970, NULLs and integers beyond 2^53 as they came', () => {
    const after = {
      id: 9_007_199_254_740_993n,
      price: '-0012345678901234567890.120',
      born: '1899-12-31Z',
      seen: '1969-12-31T23:59:59.999999Z',
      note: null,
      empty: '',
      tags: [],
    }
    expect(read(postgresChange({ op: 'c', after, lsn: 1 })).change.after).toEqual(after)
  })

  test('takes a position beyond 2^53, and the one of `sequence` where there is no lsn', () => {
    expect(read(postgresChange({ lsn: 9_007_199_254_740_993n })).position.log).toBe(9_007_199_254_740_993n)
    expect(read(postgresChange({ lsn: 77, source: { lsn: null } })).position.log).toBe(77n)
  })

  test('hands a logical message on', () => {
    const text = postgresChange({ op: 'm', lsn: 5 })
    const value = { ...(parseJson(text) as object), message: { prefix: 'p', content: 'aGk=' } }
    expect(readEnvelope(value).change).toMatchObject({ op: 'm', message: { prefix: 'p', content: 'aGk=' } })
  })

  test('of MongoDB: rows in strings become values', () => {
    const document =
      '{"_id": {"$oid": "65f0c0ffee65f0c0ffee0001"}, "n": {"$numberLong": "9007199254740993"}, "i": {"$numberLong": "5"},' +
      ' "price": {"$numberDecimal": "1.50"}, "born": {"$date": -86400000}, "at": {"$date": {"$numberLong": "1700000000123"}},' +
      ' "ratio": {"$numberDouble": "NaN"}, "raw": {"$binary": "aGk=", "$type": "00"},' +
      ' "uuid": {"$binary": {"base64": "AAECAwQFBgcICQoLDA0ODw==", "subType": "04"}}, "tags": ["a", {"$oid": "x"}], "r": {"$regularExpression": {"pattern": "a", "options": ""}}}'
    const { change, position } = read(mongoChange({ op: 'c', after: document, seconds: 1_700_000_000, ord: 3 }))
    expect(change.after).toEqual({
      _id: '65f0c0ffee65f0c0ffee0001',
      n: 9_007_199_254_740_993n,
      i: 5,
      price: '1.50',
      born: '1969-12-31T00:00:00.000Z',
      at: '2023-11-14T22:13:20.123Z',
      ratio: Number.NaN,
      raw: Uint8Array.of(0x68, 0x69),
      uuid: '00010203-0405-0607-0809-0a0b0c0d0e0f',
      tags: ['a', 'x'],
      r: { $regularExpression: { pattern: 'a', options: '' } },
    })
    expect(position).toEqual({ server: 'crm', log: (1_700_000_000n << 32n) + 3n, snapshot: false, shared: false })
  })

  test('of MongoDB: an update, a replace and a delete', () => {
    const update = mongoChange({ before: '{"a": 1}', after: '{"a": 2}', seconds: 9, ord: 1, updatedFields: '{"a": 2}' })
    expect(read(update).change).toMatchObject({
      op: 'u',
      before: { a: 1 },
      after: { a: 2 },
      updateDescription: { removedFields: ['old'], updatedFields: { a: 2 } },
    })
    expect(read(mongoChange({ after: '{"b": 1}', seconds: 9, ord: 2 })).change).toMatchObject({
      op: 'u',
      after: { b: 1 },
    })
    expect(read(mongoChange({ op: 'd', before: '{"b": 1}', seconds: 9, ord: 3 })).change).toMatchObject({
      op: 'd',
      before: { b: 1 },
      after: null,
    })
    expect(read(mongoChange({ op: 'r', after: '{}', seconds: 9, ord: -1 })).position.log).toBe(9n << 32n)
  })

  test.each([
    ['no object', 5, 'a JSON object is expected'],
    ['schemas in it', { schema: {}, payload: {} }, 'value.converter.schemas.enable=false'],
    ['no op', { after: {} }, '`op` is none of'],
    ['no source', { op: 'c', after: {} }, 'no `source`'],
    ['no server', { op: 'c', source: { connector: 'postgresql', lsn: 1 } }, '`source.name`'],
    ['no lsn', { op: 'c', source: { connector: 'postgresql', name: 's' } }, 'no `source.lsn`'],
    ['another database', { op: 'c', source: { connector: 'mysql', name: 's' } }, 'neither postgresql nor mongodb'],
    ['a row that is none', { op: 'c', after: [1], source: { connector: 'postgresql', name: 's', lsn: 1 } }, '`after`'],
  ])('with %s is refused', (_name, value, reason) => {
    expect(codeOf(value)).toContain('MESH_CDC_ENVELOPE')
    expect(codeOf(value)).toContain(reason)
  })
})
