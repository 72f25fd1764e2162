import { textBytes } from '@mesh/shared/core/record'
import { describe, expect, it } from 'vitest'
import { type AuditColumn, columnSql, columnText, NULL_TEXT } from '../../../../src/core/sources/audit-columns.ts'
import { deleteRecord } from '../../../../src/core/sources/audit-delete.ts'
import {
  type AuditPoint,
  badBuckets,
  bucketOf,
  bucketSums,
  compareKeys,
  createFold,
  type Fold,
  isBefore,
  md5,
  rowDigest,
} from '../../../../src/core/sources/audit-fold.ts'

const column = (name: string, type: string, keyPlace: number | null = null): AuditColumn => ({ name, type, keyPlace })
const COLUMNS = [column('id', 'int8', 1), column('note', 'text')]
/** Transactions below 100 are in, 103 is under way, 110 has not begun. */
const POINT: AuditPoint = { xmin: 100n, xmax: 110n, running: new Set([103n]), atMs: 5000 }

type Given = { txId?: number | null; lsn?: number | null; ts_ms?: number; op?: string; sequence?: string }
function add(fold: Fold, key: string | null, after: unknown, given: Given = {}): void {
  const { op = 'u', ...source } = { txId: 1, lsn: 1, ...given }
  const value = textBytes(JSON.stringify({ op, after, source }))
  fold.add({ offset: 0, timestamp: 0, key: key === null ? null : textBytes(key), value, headers: [] })
}
const fold = (): Fold => createFold({ point: POINT, columns: COLUMNS, takes: () => true })

describe('the point of an audit', () => {
  it.each([
    [99, true],
    [100, true],
    [103, false],
    [109, true],
    [110, false],
    [200, false],
  ])('has transaction %d on its side: %j', (txId, before) => {
    expect(isBefore({ source: { txId } }, POINT)).toBe(before)
  })

  it('widens the 32 bits that Debezium has of a transaction id', () => {
    const cycle = 1n << 32n
    const late: AuditPoint = { xmin: cycle + 5n, xmax: cycle + 10n, running: new Set(), atMs: 0 }
    expect(isBefore({ source: { txId: 3 } }, late)).toBe(true)
    expect(isBefore({ source: { txId: 12 } }, late)).toBe(false)
    expect(isBefore({ source: { txId: 4_294_967_290 } }, late)).toBe(true)
  })

  it('takes a row that an incremental snapshot has read by the time of the reading', () => {
    expect(isBefore({ source: { txId: null, ts_ms: 4999 } }, POINT)).toBe(true)
    expect(isBefore({ source: { txId: null, ts_ms: 5000 } }, POINT)).toBe(false)
  })
})

describe('folding a topic', () => {
  it('keeps the last change of each key that belongs to the point', () => {
    const folded = fold()
    add(folded, '1', { id: 1, note: 'a' })
    add(folded, '1', { id: 1, note: 'b' })
    add(folded, '1', { id: 1, note: 'later' }, { txId: 111 })
    add(folded, '2', { id: 2, note: 'gone' })
    add(folded, '2', null, { op: 'd' })
    expect([...folded.rows]).toEqual([['1', ['1', 'b']]])
  })

  it('puts a long value that did not change back', () => {
    const folded = fold()
    add(folded, '1', { id: 1, note: 'long' })
    add(folded, '1', { id: 1, note: '__debezium_unavailable_value' })
    expect(folded.rows.get('1')).toEqual(['1', 'long'])
  })

  it('empties by a truncate what stands before it, on whatever partition and in whatever order it is read', () => {
    const folded = fold()
    add(folded, '1', { id: 1 }, { lsn: 10 })
    add(folded, '3', { id: 3 }, { lsn: 30 })
    add(folded, null, null, { op: 't', lsn: 20 })
    add(folded, '2', { id: 2 }, { lsn: 15 })
    add(folded, '4', { id: 4 }, { lsn: null, txId: null, sequence: '["1","40"]', ts_ms: 1, op: 'r' })
    expect([...folded.rows.keys()].sort()).toEqual(['3', '4'])
  })

  it('names keys that were read again while the audit ran', () => {
    const folded = fold()
    add(folded, '1', { id: 1 }, { op: 'r', txId: null, ts_ms: 6000 })
    expect([[...folded.moving], folded.rows.size]).toEqual([['1'], 0])
  })
})

describe('comparing', () => {
  const rows = new Map([
    ['1', ['1', 'a']],
    ['2', ['2', 'b']],
    ['3', ['3', 'c']],
  ])
  const digests = (given: ReadonlyMap<string, readonly string[]>): Map<string, string> =>
    new Map([...given].map(([key, texts]) => [key, rowDigest(texts)]))

  it('finds no bad range in equal sides, and exactly those that differ otherwise', () => {
    expect(badBuckets(bucketSums(rows), bucketSums(new Map([...rows].reverse())))).toEqual([])
    const changed = new Map(rows).set('2', ['2', 'x'])
    expect(badBuckets(bucketSums(rows), bucketSums(changed))).toEqual([bucketOf('2')])
    const fewer = new Map([...rows].filter(([key]) => key !== '3'))
    expect(badBuckets(bucketSums(rows), bucketSums(fewer))).toEqual([bucketOf('3')])
  })

  it('names keys that are missing, differ, or are there no longer', () => {
    const topic = new Map([
      ['1', ['1', 'a']],
      ['2', ['2', 'other']],
      ['9', ['9', 'z']],
    ])
    const all = new Set(Array.from({ length: 256 }, (_, i) => i))
    expect(compareKeys(digests(rows), topic, all)).toEqual({ missing: ['3'], differing: ['2'], extra: ['9'] })
    expect(compareKeys(new Map(), topic, new Set([bucketOf('9')])).extra).toContain('9')
  })
})

describe('the text of a value', () => {
  it.each([
    ['numeric', '1.500', '1.5'],
    ['numeric', '-100', '-100'],
    ['numeric', 'NAN', 'NaN'],
    ['numeric', '0.000', '0'],
    ['float8', 1.5, '3ff8000000000000'],
    ['float8', 'Infinity', '7ff0000000000000'],
    ['float4', 1.1, '3f8ccccd'],
    ['bytea', 'AQI=', '0102'],
    ['bpchar', 'ab   ', 'ab'],
    ['date', '2024-02-29Z', '2024-02-29'],
    ['date', '+292278994-08-16Z', 'infinite'],
    ['timestamptz', '2024-01-02T03:04:05Z', '2024-01-02T03:04:05.000000'],
    ['timestamptz', '-infinity', 'infinite'],
    ['time', '03:04:05.00001Z', '03:04:05.000010'],
    ['int8', 7, '7'],
    ['bool', true, 'true'],
    ['text', null, NULL_TEXT],
  ])('of type %s is one for both sides: %j', (type, value, text) => {
    expect(columnText(column('c', type), value, md5)).toBe(text)
  })

  it('keeps whole numbers beyond doubles', () => {
    expect(columnText(column('c', 'int8'), 9007199254740993n, md5)).toBe('9007199254740993')
  })

  it('asks for null before anything else: the form of a date is not null for it', () => {
    expect(columnSql(column('c', 'date'), '"c"')).toMatch(/^case when "c" is null then e'\\x1e' else /)
  })

  it('that is long is its digest, by bytes as the database counts them', () => {
    const text = 'é'.repeat(33)
    expect(columnText(column('c', 'text'), text, md5)).toBe(`md5:${md5(text)}`)
    expect(columnSql(column('c', 'text'), '"c"')).toContain('octet_length("c"::text) > 64')
  })
})

describe('the delete that an audit writes', () => {
  const mark = { source: 'shop', table: 'public.lines', lsn: 77n, atMs: 5, partitions: 3 }

  it('names the row as the connector would have', () => {
    const record = deleteRecord('[7,"x\\"y"]', { ...mark, key: [column('id', 'int8', 1), column('sku', 'text', 2)] })
    const change = JSON.parse(Buffer.from(record.value!).toString()) as { source: unknown }
    expect(change).toMatchObject({ op: 'd', before: { id: 7, sku: 'x"y' }, after: null })
    expect(change.source).toMatchObject({
      name: 'shop',
      schema: 'public',
      table: 'lines',
      lsn: 77,
      sequence: '["77","77"]',
    })
  })

  it('keeps the characters of a single key', () => {
    const of = (key: string, type: string): string =>
      Buffer.from(deleteRecord(key, { ...mark, key: [column('id', type, 1)] }).value!).toString()
    expect(of('9007199254740993', 'int8')).toContain('"before":{"id":9007199254740993}')
    expect(of('a"b', 'text')).toContain('"before":{"id":"a\\"b"}')
  })
})
