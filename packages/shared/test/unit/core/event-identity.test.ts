import { describe, expect, it } from 'vitest'
import { eventIdOf, eventKey, eventTimeOf } from '../../../src/core/event-identity.ts'

const key = (pointers: readonly string[], source: string): string | null =>
  eventKey({ key: pointers }, JSON.parse(source), source)

describe('eventKey', () => {
  it('takes a string as it is and a number by its source characters', () => {
    expect(key(['/a'], '{"a":"x y"}')).toBe('x y')
    expect(key(['/a'], '{"a":1.0}')).toBe('1.0')
    expect(key(['/a'], '{"a":12345678901234567890}')).toBe('12345678901234567890')
    expect(eventKey({ key: ['/a'] }, { a: 1 }, Buffer.from('{"a":1e0}'))).toBe('1e0')
    expect(key(['/a'], '{"a":true}')).toBe('true')
  })

  it('takes the first non-null of a list, and null when all are missing', () => {
    expect(key(['/a', '/b'], '{"a":null,"b":"second"}')).toBe('second')
    expect(key(['/a', '/b'], '{}')).toBeNull()
    expect(key([], '{}')).toBeNull()
  })

  it('refuses an object, an array, and a single key that is missing', () => {
    for (const source of ['{"a":{}}', '{"a":[]}', '{}', '{"a":null}']) {
      expect(() => key(['/a'], source)).toThrow(expect.objectContaining({ code: 'MESH_EVENT_KEY' }))
    }
    expect(() => key(['/a', '/b'], '{"a":{},"b":"x"}')).toThrow(expect.objectContaining({ code: 'MESH_EVENT_KEY' }))
  })
})

describe('eventIdOf', () => {
  it('is null without a declared pointer', () => {
    expect(eventIdOf({ eventId: null }, { id: 1 }, '{"id":1}')).toBeNull()
  })

  it('takes strings and numbers, by their source', () => {
    expect(eventIdOf({ eventId: '/id' }, { id: 'x' }, '{"id":"x"}')).toBe('x')
    expect(eventIdOf({ eventId: '/id' }, { id: 7 }, '{"id":7.0}')).toBe('7.0')
  })

  it.each(['{}', '{"id":null}', '{"id":""}', '{"id":true}', '{"id":{}}'])('refuses %s', (source) => {
    expect(() => eventIdOf({ eventId: '/id' }, JSON.parse(source), source)).toThrow(
      expect.objectContaining({ code: 'MESH_EVENT_ID' }),
    )
  })
})

describe('eventTimeOf', () => {
  const plain = { eventTime: { at: '/t', format: null, zone: 'UTC' } }
  const local = { eventTime: { at: '/t', format: 'yyyy/MM/dd HH:mm', zone: 'America/Chicago' } }

  it('says nothing without a rule', () => {
    expect(eventTimeOf({ eventTime: null }, {})).toEqual({ time: null, unreadable: false })
  })

  it.each([
    [1700000000, '2023-11-14T22:13:20.000Z'],
    [1700000000.5, '2023-11-14T22:13:20.500Z'],
    [1700000000123, '2023-11-14T22:13:20.123Z'],
    [1700000000123456, '2023-11-14T22:13:20.123456Z'],
    ['1700000000', '2023-11-14T22:13:20.000Z'],
    [-1, '1969-12-31T23:59:59.000Z'],
    ['2020-01-01T00:00:00.123456789+02:00', '2020-01-01T00:00:00.123456789+02:00'],
    ['2020-01-01t00:00:00z', '2020-01-01T00:00:00.000Z'],
    ['2020-01-01 00:00+0530', '2019-12-31T18:30:00.000Z'],
  ])('reads %j', (t, time) => {
    expect(eventTimeOf(plain, { t })).toEqual({ time, unreadable: false })
  })

  it.each([undefined, null, '', 'today', '2020-02-30T00:00:00Z', '2020-01-01T00:00:00', 1e18, Number.NaN, {}, true])(
    'counts %j as unreadable and does not throw',
    (t) => {
      expect(eventTimeOf(plain, { t })).toEqual({ time: null, unreadable: true })
    },
  )

  it.each([
    ['2001/01/01 00:47', '2001-01-01T00:47:00-06:00'],
    ['2001/07/01 00:47', '2001-07-01T00:47:00-05:00'],
    // The last minute of winter time, and the first of summer time.
    ['2001/04/01 01:59', '2001-04-01T01:59:00-06:00'],
    ['2001/04/01 03:00', '2001-04-01T03:00:00-05:00'],
    // 02:30 never was: it moves on by the hour that was skipped.
    ['2001/04/01 02:30', '2001-04-01T03:30:00-05:00'],
    // 01:30 was twice: the first one is meant.
    ['2001/10/28 01:30', '2001-10-28T01:30:00-05:00'],
    ['2001/10/28 02:00', '2001-10-28T02:00:00-06:00'],
  ])('reads the local time %s in its zone', (t, time) => {
    expect(eventTimeOf(local, { t })).toEqual({ time, unreadable: false })
  })

  it.each(['2001/02/29 00:00', '2001/01/01 24:00', '2001/1/1 00:00', '2001/01/01 00:00:00', 20010101])(
    'counts the local time %j as unreadable',
    (t) => {
      expect(eventTimeOf(local, { t })).toEqual({ time: null, unreadable: true })
    },
  )
})
