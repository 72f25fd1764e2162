import { isMeshError } from '@mesh/shared/core/errors'
import { partitionOf } from '@mesh/shared/core/partitioner'
import { bytesText, headerText, type RecordToSend } from '@mesh/shared/core/record'
import { BSON } from 'mongodb'
import { describe, expect, test } from 'vitest'
import { fromExtendedJson } from '../../../../../enricher/src/core/extended-json.ts'
import { type Decoded, type DocumentChange, decodeChange } from '../../../../src/core/mongo/change-event.ts'
import {
  changeRecord,
  emptiedRecord,
  type MongoBuild,
  snapshotRecord,
} from '../../../../src/core/mongo/mongo-record.ts'
import { contractOf, streamOf } from '../../../support/gateway.ts'
import * as recorded from './change-events.ts'

// The driver's own copy of bson: what it hands over is of no class that `import 'bson'` has.
const { EJSON, Int32 } = BSON

const STREAM = streamOf(contractOf('orders', { ingest: [{ kind: 'cdc', source: 'shop', table: 'shop.orders' }] }))
const BUILD: MongoBuild = {
  stream: STREAM,
  source: 'shop',
  collection: 'shop.old.orders',
  oversize: 'fail',
  maxBytes: 4_000_000,
  receivedAt: 1_700_000_001_000,
}
const KEY = '65f0c0ffee65f0c0ffee0001'
const LOG = (1_700_000_000n << 32n) + 3n

type Envelope = {
  op: string
  before: string | null
  after: string | null
  updateDescription: Record<string, unknown> | null
  source: Record<string, unknown>
}
const envelopeOf = (record: RecordToSend): Envelope => JSON.parse(bytesText(record.value!)) as Envelope
const built = (event: object, build = BUILD): RecordToSend =>
  changeRecord(decodeChange(event) as DocumentChange & Decoded, build)

describe('the raw record of a change', () => {
  test('is keyed and placed by the document, with an id that is the same whenever it is read', () => {
    const record = built(recorded.UPDATE)
    expect(bytesText(record.key!)).toBe(KEY)
    expect(record.partition).toBe(partitionOf(record.key!, STREAM.partitions))
    expect(headerText(record.headers, 'ce_id')).toBe(`shop:${LOG}:${KEY}`)
    expect(headerText(record.headers, 'ce_time')).toBe('2023-11-14T22:13:20.000Z')
    expect(headerText(record.headers, 'content-type')).toBe('application/json')
    expect(record.timestamp).toBe(BUILD.receivedAt)
    const later = built(recorded.UPDATE, { ...BUILD, receivedAt: BUILD.receivedAt + 5 })
    expect(headerText(later.headers, 'ce_id')).toBe(headerText(record.headers, 'ce_id'))
  })

  test('has Debezium’s fields', () => {
    const record = built(recorded.UPDATE)
    expect(envelopeOf(record)).toEqual({
      before: `{"_id":{"$oid":"${KEY}"},"email":"a@10gen.com"}`,
      after: `{"_id":{"$oid":"${KEY}"},"email":"alice@10gen.com"}`,
      updateDescription: {
        removedFields: ['phoneNumber'],
        updatedFields: '{"email":"alice@10gen.com","items.1":{"$numberLong":"7"}}',
        truncatedArrays: [{ field: 'items', size: 2 }],
      },
      source: {
        version: 'mesh',
        connector: 'mongodb',
        name: 'shop',
        ts_ms: 1_700_000_000_000,
        snapshot: 'false',
        db: 'shop',
        sequence: null,
        ts_us: 1_700_000_000_000_000,
        ts_ns: 1_700_000_000_000_000_000,
        collection: 'old.orders',
        ord: 3,
        lsid: null,
        txnNumber: null,
        wallTime: 1_700_000_000_123,
      },
      transaction: null,
      op: 'u',
      ts_ms: BUILD.receivedAt,
    })
    // Digits that JSON.parse would round are whole in the text.
    expect(bytesText(record.value!)).toContain('"ts_ns":1700000000000000000')
  })

  test('keeps every value: nothing is rounded, and the enricher reads what was written', () => {
    const { after } = envelopeOf(built(recorded.INSERT))
    expect(EJSON.stringify(EJSON.parse(after!, { relaxed: false }), { relaxed: false })).toBe(
      EJSON.stringify(recorded.INSERT['fullDocument'], { relaxed: false }),
    )
    expect(fromExtendedJson(JSON.parse(after!))).toEqual({
      _id: KEY,
      n: 9_007_199_254_740_993n,
      i: 5,
      d: 5,
      nan: Number.NaN,
      price: '0.10000000000000000000000000000001',
      at: '1969-12-31T00:00:00.000Z',
      raw: Uint8Array.of(0x68, 0x69),
      uuid: '00010203-0405-0607-0809-0a0b0c0d0e0f',
      op: { $timestamp: { t: 1, i: 2 } },
      re: { $regularExpression: { pattern: '^a', options: 'i' } },
      ref: { $ref: 'people', $id: '65f0c0ffee65f0c0ffee0002', $db: 'crm' },
      min: { $minKey: 1 },
      none: null,
      tags: ['a', { b: true }],
    })
  })

  test('of a transaction tells its changes apart: they share a cluster time', () => {
    const one = built(recorded.IN_TRANSACTION)
    const other = built(recorded.withFields(recorded.IN_TRANSACTION, { _id: { _data: 'another' } }))
    expect(headerText(one.headers, 'ce_id')).not.toBe(headerText(other.headers, 'ce_id'))
    expect(envelopeOf(one).source['sequence']).not.toBe(envelopeOf(other).source['sequence'])
    expect(bytesText(one.value!)).toContain('"txnNumber":9007199254740993')
    expect(envelopeOf(one).source['lsid']).toContain('"subType":"04"')
  })

  test('has an id of bounded length, whatever the _id', () => {
    const long = 'x'.repeat(5000)
    const record = built(recorded.withFields(recorded.DELETE, { documentKey: { _id: long } }))
    expect(bytesText(record.key!)).toBe(long)
    expect(headerText(record.headers, 'ce_id')!.length).toBeLessThan(200)
  })
})

test('a document that was read is op r at the time when the reading began', () => {
  const record = snapshotRecord({ _id: new Int32(7), a: true }, { seconds: 9, ordinal: 1 }, BUILD)
  expect(bytesText(record.key!)).toBe('7')
  expect(headerText(record.headers, 'ce_id')).toBe(`shop:snapshot:${(9n << 32n) + 1n}:7`)
  expect(envelopeOf(record)).toMatchObject({
    op: 'r',
    after: '{"_id":{"$numberInt":"7"},"a":true}',
    source: { snapshot: 'true', ts_ms: 9000, ord: 1 },
  })
})

test('a dropped collection is a truncate, which has no key', () => {
  const record = emptiedRecord(decodeChange(recorded.DROP), BUILD)
  expect(record).toMatchObject({ key: null, partition: 0 })
  expect(envelopeOf(record)).toMatchObject({ op: 't', before: null, after: null })
})

describe('a change over what a raw record holds', () => {
  const small = { ...BUILD, maxBytes: 900 }
  const big = recorded.withFields(recorded.UPDATE, {
    fullDocument: { _id: recorded.UPDATE['documentKey']['_id'], text: 'x'.repeat(2000) },
  })

  test('stops the source, with its place', () => {
    let told: unknown
    try {
      built(big, small)
    } catch (error) {
      told = error
    }
    if (!isMeshError(told)) throw new Error('it was taken')
    expect(told.code).toBe('MESH_SOURCE_EVENT_TOO_LARGE')
    expect(told.place).toBe(`shop.old.orders, _id ${KEY}`)
    expect(told.hint).toContain('oversize: dead-letter')
    expect(told.message).not.toContain('xxx')
  })

  test('or goes on without its documents, where the source says so', () => {
    const record = built(big, { ...small, oversize: 'dead-letter' })
    expect(bytesText(record.key!)).toBe(KEY)
    expect(envelopeOf(record)).toMatchObject({ op: 'u', before: null, after: null, updateDescription: null })
    expect(envelopeOf(record).source['oversize']).toBeGreaterThan(2000)
    expect(record.value!.byteLength).toBeLessThan(900)
  })
})
