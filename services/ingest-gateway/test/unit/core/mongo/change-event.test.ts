import { isMeshError } from '@mesh/shared/core/errors'
import { BSON } from 'mongodb'
import { describe, expect, test } from 'vitest'
import { decodeChange } from '../../../../src/core/mongo/change-event.ts'
import { documentKey, filtersAfter } from '../../../../src/core/mongo/document-id.ts'
import { createFragmentJoiner } from '../../../../src/core/mongo/split-events.ts'
import * as recorded from './change-events.ts'

// The driver's own copy of bson: what it hands over is of no class that `import 'bson'` has.
const { Binary, Decimal128, Double, EJSON, Int32, Long, MaxKey, MinKey, ObjectId, Timestamp } = BSON

const KEY = '65f0c0ffee65f0c0ffee0001'

function refusal(work: () => unknown): string {
  try {
    work()
  } catch (error) {
    if (isMeshError(error)) return `${error.code} ${error.message}`
    throw error
  }
  return 'accepted'
}

describe('a change event', () => {
  test('insert, replace and delete', () => {
    expect(decodeChange(recorded.INSERT)).toMatchObject({
      kind: 'change',
      op: 'c',
      key: KEY,
      before: null,
      update: null,
      transaction: null,
      at: { seconds: 1_700_000_000, ordinal: 3 },
      wallTimeMs: 1_700_000_000_123,
    })
    expect(decodeChange(recorded.REPLACE)).toMatchObject({ op: 'u', before: null, after: { b: new Int32(1) } })
    expect(decodeChange(recorded.DELETE)).toMatchObject({ op: 'd', key: KEY, before: null, after: null })
    expect(decodeChange(recorded.DELETE_WITH_PRE_IMAGE)).toMatchObject({ before: { b: new Int32(1) }, after: null })
  })

  test('update: both images, fields, removed fields and truncated arrays', () => {
    expect(decodeChange(recorded.UPDATE)).toMatchObject({
      op: 'u',
      before: { email: 'a@10gen.com' },
      after: { email: 'alice@10gen.com' },
      update: {
        updated: { email: 'alice@10gen.com', 'items.1': Long.fromNumber(7) },
        removed: ['phoneNumber'],
        truncated: [{ field: 'items', size: 2 }],
      },
    })
    expect(decodeChange(recorded.UPDATE_GONE)).toMatchObject({ op: 'u', after: null })
  })

  test('of a transaction says so, with its whole number', () => {
    expect(decodeChange(recorded.IN_TRANSACTION)).toMatchObject({ transaction: { number: '9007199254740993' } })
  })

  test('that concerns the collection', () => {
    expect(decodeChange(recorded.DROP)).toMatchObject({ kind: 'emptied' })
    expect(decodeChange(recorded.DROP_DATABASE)).toMatchObject({ kind: 'emptied' })
    expect(decodeChange(recorded.RENAME)).toMatchObject({ kind: 'renamed', to: 'shop.old.orders' })
    expect(decodeChange(recorded.INVALIDATE)).toMatchObject({ kind: 'invalidated' })
    expect(decodeChange(recorded.MODIFY)).toMatchObject({ kind: 'structure' })
  })

  test.each([
    ['an unknown type', { operationType: 'teleport' }, '"teleport" is not known'],
    ['no type', { operationType: undefined }, 'nothing is not known'],
    ['no key', { documentKey: undefined }, 'no documentKey._id'],
    ['no time', { clusterTime: undefined }, 'no clusterTime'],
    ['no token', { _id: undefined }, 'no resume token'],
    ['no document', { fullDocument: undefined }, 'an insert has no fullDocument'],
  ])('with %s is refused, never passed over', (_name, fields, reason) => {
    const told = refusal(() => decodeChange(recorded.withFields(recorded.INSERT, fields)))
    expect(told).toContain('MESH_SOURCE_EVENT')
    expect(told).toContain(reason)
  })
})

describe('the key of a document', () => {
  test.each([
    [new ObjectId(KEY), KEY],
    ['a "b"', 'a "b"'],
    [new Int32(-5), '-5'],
    [Long.fromString('9007199254740993'), '9007199254740993'],
    [new Double(5), '5'],
    [new Double(0.5), '0.5'],
    [Decimal128.fromString('1.50'), '1.50'],
    [new Binary(Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex'), 4), '00010203-0405-0607-0809-0a0b0c0d0e0f'],
    [new Binary(Buffer.from('hi'), 0), 'aGk='],
    [new Date(5), '1970-01-01T00:00:00.005Z'],
    [true, 'true'],
    [null, 'null'],
    [{ b: new Int32(1), a: new ObjectId(KEY) }, `{"b":{"$numberInt":"1"},"a":{"$oid":"${KEY}"}}`],
    [new Timestamp({ t: 1, i: 2 }), '4294967298'],
  ])('%j is the text %s', (id, text) => {
    expect(documentKey(id)).toBe(text)
  })
})

describe('documents behind an id', () => {
  const laterOf = (id: unknown): unknown[] => {
    const [own, ...later] = filtersAfter(id)
    expect(own).toEqual({ _id: { $gt: id } })
    return later.map(({ _id: condition }) => (condition as { $type?: unknown }).$type ?? condition)
  }
  const NUMBERS = ['int', 'long', 'double', 'decimal']
  const REST = [['object'], ['binData'], ['objectId'], ['bool'], ['date'], ['timestamp'], ['maxKey']]

  test('are of its type, then of every later type in its order: ids of mixed types are all found', () => {
    expect(laterOf(null)).toEqual([NUMBERS, { $gte: '' }, ...REST])
    for (const number of [new Int32(5), new Double(5), Long.fromNumber(5), Decimal128.fromString('5')]) {
      expect(laterOf(number)).toEqual([{ $gte: '' }, ...REST])
    }
    expect(laterOf('x')).toEqual(REST)
    expect(laterOf({ a: 1 })).toEqual(REST.slice(1))
    expect(laterOf(new ObjectId())).toEqual([['bool'], ['date'], ['timestamp'], ['maxKey']])
    expect(laterOf(new Date(5))).toEqual([['timestamp'], ['maxKey']])
    expect(laterOf(new MaxKey())).toEqual([])
  })

  test('behind the smallest key are all others: `$gt` knows it', () => {
    expect(laterOf(new MinKey())).toEqual([])
  })
})

describe('a split event', () => {
  const fragment = (n: number, of: number, fields: object): object => ({
    _id: { _data: `token-${n}` },
    splitEvent: { fragment: new Int32(n), of: new Int32(of) },
    ...fields,
  })

  test('is whole with its last fragment, and has that one’s token', () => {
    const join = createFragmentJoiner()
    const { _id, fullDocument, fullDocumentBeforeChange, ...rest } = recorded.UPDATE
    expect(join(fragment(1, 3, rest))).toBeNull()
    expect(join(fragment(2, 3, { fullDocumentBeforeChange }))).toBeNull()
    const whole = join(fragment(3, 3, { fullDocument }))
    expect(EJSON.stringify(decodeChange(whole!))).toBe(
      EJSON.stringify({ ...decodeChange(recorded.UPDATE), token: { _data: 'token-3' } }),
    )
    expect(join(recorded.INSERT)).toBe(recorded.INSERT)
  })

  test('that is not whole is refused', () => {
    const second = createFragmentJoiner()
    expect(refusal(() => second(fragment(2, 2, {})))).toContain('fragment 2 of 2 came after 0')
    const torn = createFragmentJoiner()
    torn(fragment(1, 2, {}))
    expect(refusal(() => torn(recorded.INSERT))).toContain('then another event')
  })
})
