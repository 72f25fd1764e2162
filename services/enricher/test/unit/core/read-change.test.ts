import type { Change } from '@mesh/client/refine'
import { type KafkaRecord, textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { createKeyedState, createMemoryKeyedStore } from '../../../src/core/keyed-state.ts'
import { isChangeStream, readChange } from '../../../src/core/read-change.ts'
import { mongoChange, type PostgresChange, postgresChange, TOAST } from '../../changes.ts'
import { contractOf } from '../../contract.ts'

const CDC = { kind: 'cdc', source: 'shop', table: 'public.orders' } as const
const contract = contractOf({ ingest: [CDC] })

/** One partition's log, read record by record. */
function reader() {
  const state = createKeyedState(createMemoryKeyedStore())
  let offset = 0
  function readText(key: string | null, value: string | null) {
    const record: KafkaRecord = {
      offset,
      timestamp: Date.UTC(2026, 0, 2),
      key: key === null ? null : textBytes(key),
      value: value === null ? null : textBytes(value),
      headers: [],
    }
    return readChange({ at: { topicId: 'raw-1', partition: 0, offset: offset++ }, record }, contract, state)
  }
  const read = (change: PostgresChange, key: string | null = '1') => readText(key, postgresChange(change))
  return { read, readText }
}

function changeOf({ arrival }: ReturnType<typeof readChange>): Change {
  if (arrival.kind !== 'change') throw new Error(`expected a change, got ${JSON.stringify(arrival)}`)
  return arrival.event
}

/** The snapshot's fates: `+` new, `=` superseded, and the code of a poisoned one. */
const fateOf = ({ arrival, superseded }: ReturnType<typeof readChange>): string =>
  superseded ? '=' : arrival.kind === 'poison' ? arrival.problem.code : '+'

describe('order of changes', () => {
  test('a change at or below the highest of its key is superseded, however much later it comes', () => {
    const { read } = reader()
    const lsns = [10, 20, 20, 10, 30, 29, 30, 31]
    expect(lsns.map((lsn) => fateOf(read({ lsn, after: { id: 1, lsn } })))).toEqual([
      '+',
      '+',
      '=',
      '=',
      '+',
      '=',
      '=',
      '+',
    ])
  })

  test('keys are independent: rows of one COPY share an LSN', () => {
    const { read } = reader()
    const fates = ['1', '2', '1', '3'].map((key) => fateOf(read({ op: 'c', lsn: 10, after: { id: key } }, key)))
    expect(fates).toEqual(['+', '+', '=', '+'])
  })

  test('a snapshot row is older than a change of the same position, and newer than what was below', () => {
    const { read } = reader()
    expect(fateOf(read({ lsn: 10, after: {} }))).toBe('+')
    expect(fateOf(read({ op: 'r', lsn: 10, after: {} }))).toBe('=')
    expect(fateOf(read({ op: 'r', lsn: 9, after: {} }))).toBe('=')
    expect(fateOf(read({ op: 'r', lsn: 11, after: {} }))).toBe('+')
    expect(fateOf(read({ op: 'r', lsn: 11, after: {} }))).toBe('=')
    expect(fateOf(read({ lsn: 11, after: {} }))).toBe('+')
  })

  test('a change of a transaction that was open during the snapshot is not lost, though its position is lower', () => {
    const { read } = reader()
    read({ op: 'r', lsn: 100, after: { n: 'before' } })
    expect(changeOf(read({ lsn: 90, after: { n: 'committed at 110' } })).after).toEqual({ n: 'committed at 110' })
    expect(fateOf(read({ lsn: 90, after: { n: 'committed at 110' } }))).toBe('=')
  })

  test('a delete counts as a change: a late update does not bring the row back', () => {
    const { read } = reader()
    read({ op: 'c', lsn: 10, after: { id: 1 } })
    expect(fateOf(read({ op: 'd', lsn: 30, before: { id: 1 } }))).toBe('+')
    expect(fateOf(read({ lsn: 20, after: { id: 1 } }))).toBe('=')
    expect(fateOf(read({ op: 'c', lsn: 40, after: { id: 1 } }))).toBe('+')
  })

  test('a key change is a delete of the old key and a create of the new one, at one position', () => {
    const { read } = reader()
    read({ op: 'c', lsn: 10, after: { id: 1 } }, '1')
    expect(fateOf(read({ op: 'd', lsn: 20, before: { id: 1 } }, '1'))).toBe('+')
    expect(fateOf(read({ op: 'c', lsn: 20, after: { id: 2 } }, '2'))).toBe('+')
  })

  test('another server begins anew: its positions do not compare', () => {
    const { read } = reader()
    read({ lsn: 1000, after: {} })
    expect(fateOf(read({ lsn: 1, server: 'shop-2', after: {} }))).toBe('+')
    expect(fateOf(read({ lsn: 1, server: 'shop-2', after: {} }))).toBe('=')
  })

  test('MongoDB: cluster time orders; two changes of one transaction share it and both count', () => {
    const { readText } = reader()
    const at = (ord: number, after: string, txnNumber?: number) =>
      fateOf(readText('k', mongoChange({ after, seconds: 9, ord, ...(txnNumber === undefined ? {} : { txnNumber }) })))
    expect([
      at(1, '{"n":1}'),
      at(1, '{"n":1}'),
      at(2, '{"n":2}', 7),
      at(2, '{"n":3}', 7),
      at(2, '{"n":3}', 7),
      at(1, '{}'),
    ]).toEqual(['+', '=', '+', '+', '=', '='])
  })

  test('a separate tombstone says nothing that the delete before it did not', () => {
    const { read, readText } = reader()
    read({ op: 'd', lsn: 5 })
    expect(fateOf(readText('1', null))).toBe('=')
  })

  test('truncates and logical messages have no row; a change without a key is poison', () => {
    const { read } = reader()
    expect(fateOf(read({ op: 't', lsn: 5 }, null))).toBe('+')
    expect(fateOf(read({ op: 't', lsn: 5 }, null))).toBe('=')
    expect([fateOf(read({ op: 'm', lsn: 4 }, null)), fateOf(read({ op: 'm', lsn: 3 }, null))]).toEqual(['+', '+'])
    expect(fateOf(read({ op: 'c', lsn: 6, after: {} }, null))).toBe('MESH_CDC_KEY')
  })

  test('poison does not move the history on', () => {
    const { read, readText } = reader()
    expect(fateOf(readText('1', '{'))).toBe('MESH_DECODE_JSON')
    expect(fateOf(read({ lsn: 1, after: {} }))).toBe('+')
  })
})

describe('identity', () => {
  test('server, position and key make the event id; the time of the change is the event time', () => {
    const { read } = reader()
    expect(read({ lsn: 7, after: {} }, '[1,"a"]').arrival).toMatchObject({
      eventId: 'shop:7:[1,"a"]',
      eventTime: '2025-11-26T23:33:20.123Z',
      eventTimeMs: 1_764_200_000_123,
    })
    expect(read({ op: 'r', lsn: 7, after: {} }, '2').arrival).toMatchObject({ eventId: 'shop:snapshot:7:2' })
    expect(read({ op: 't', lsn: 7 }, null).arrival).toMatchObject({ eventId: 'shop:7:truncate:0' })
  })

  test('without a time of the change the receipt time stands in', () => {
    const { read } = reader()
    expect(read({ lsn: 7, after: {}, source: { ts_ms: 0 } }).arrival).toMatchObject({
      eventTime: '2026-01-02T00:00:00.000Z',
    })
  })
})

describe('unchanged TOASTed values', () => {
  const big = 'x'.repeat(3000)

  test('are taken from before, where the table logs it', () => {
    const { read } = reader()
    const change = changeOf(read({ lsn: 2, before: { id: 1, n: 1, doc: big }, after: { id: 1, n: 2, doc: TOAST } }))
    expect(change.after).toEqual({ id: 1, n: 2, doc: big })
  })

  test('else from the last known row of the key, through many updates', () => {
    const { read } = reader()
    read({ op: 'c', lsn: 1, after: { id: 1, n: 9_007_199_254_740_993n, doc: big } })
    for (let lsn = 2; lsn < 6; lsn++) {
      expect(changeOf(read({ lsn, after: { id: 1, n: lsn, doc: TOAST } })).after).toEqual({ id: 1, n: lsn, doc: big })
    }
    expect(changeOf(read({ lsn: 7, after: { id: 1, n: 7, doc: 'new' } })).after).toMatchObject({ doc: 'new' })
    expect(changeOf(read({ lsn: 8, after: { id: 1, n: 8, doc: TOAST } })).after).toMatchObject({ doc: 'new' })
  })

  test('a NULL in before says that the database did not log the column, not that it was NULL', () => {
    const { read } = reader()
    read({ op: 'c', lsn: 1, after: { id: 1, doc: big } })
    expect(changeOf(read({ lsn: 2, before: { id: 1, doc: null }, after: { id: 1, doc: TOAST } })).after).toEqual({
      id: 1,
      doc: big,
    })
  })

  test('else the change is a dead letter that names the columns, and a later full row heals the key', () => {
    const { read } = reader()
    const lost = read({ lsn: 1, after: { id: 1, n: 1, doc: TOAST, tags: [TOAST] } })
    expect(lost.arrival).toMatchObject({
      kind: 'poison',
      problem: { code: 'MESH_CDC_VALUE_UNAVAILABLE', message: expect.stringContaining('doc, tags') },
    })
    expect(fateOf(read({ lsn: 1, after: { id: 1, n: 1, doc: TOAST } }))).toBe('=')
    expect(changeOf(read({ op: 'r', lsn: 2, after: { id: 1, n: 1, doc: big, tags: ['a'] } })).after).toMatchObject({
      doc: big,
    })
    expect(changeOf(read({ lsn: 3, after: { id: 1, n: 3, doc: TOAST, tags: [TOAST] } })).after).toEqual({
      id: 1,
      n: 3,
      doc: big,
      tags: ['a'],
    })
  })

  test('of a deleted row are not given to its successor under the same key', () => {
    const { read } = reader()
    read({ op: 'c', lsn: 1, after: { id: 1, doc: big } })
    read({ op: 'd', lsn: 2, before: { id: 1, doc: null } })
    expect(fateOf(read({ lsn: 3, after: { id: 1, doc: TOAST } }))).toBe('MESH_CDC_VALUE_UNAVAILABLE')
  })

  test('never reach refine.ts, not in before either', () => {
    const { read } = reader()
    expect(changeOf(read({ op: 'd', lsn: 3, before: { id: 1, doc: TOAST } })).before).toEqual({ id: 1 })
  })

  const integers = [...Buffer.from(TOAST)]
  test.each([
    ['bytes in base64', Buffer.from(TOAST).toString('base64')],
    ['bytes in hex', Buffer.from(TOAST).toString('hex')],
    ['a text array', [TOAST]],
    ['an integer array', integers],
    ['a UUID array', ['b68a35a7-17ad-35b3-af2a-ae46edb4545a']],
    ['hstore as a map', { [TOAST]: TOAST }],
    ['hstore as text', `{"${TOAST}":"${TOAST}"}`],
    ['a nested value', { inner: [{ deep: TOAST }] }],
  ])('come as %s too', (_name, doc) => {
    const { read } = reader()
    expect(fateOf(read({ lsn: 1, after: { id: 1, doc } }))).toBe('MESH_CDC_VALUE_UNAVAILABLE')
    read({ lsn: 2, after: { id: 1, doc: 'known' } })
    expect(changeOf(read({ lsn: 3, after: { id: 1, doc } })).after).toEqual({ id: 1, doc: 'known' })
  })
})

test('only a contract of kind cdc is a change stream', () => {
  expect(isChangeStream(contract)).toBe(true)
  expect(isChangeStream(contractOf({}))).toBe(false)
})
