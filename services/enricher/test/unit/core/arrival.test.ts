import { header, type KafkaRecord, textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { readArrival } from '../../../src/core/arrival.ts'
import { contractOf } from '../../contract.ts'

const AT = { topicId: 'raw-1', partition: 3, offset: 42 }

function record(value: string | null, headers: Record<string, string> = {}): KafkaRecord {
  return {
    offset: 42,
    timestamp: Date.UTC(2026, 0, 2, 3, 4, 5),
    key: textBytes('k'),
    value: value === null ? null : textBytes(value),
    headers: Object.entries(headers).map(([name, text]) => header(name, text)),
  }
}

const read = (value: string | null, headers: Record<string, string> = {}, contract = contractOf({})) =>
  readArrival({ at: AT, record: record(value, headers) }, contract)

describe('reading an arrival', () => {
  test('takes event id and time from the CloudEvents headers', () => {
    const arrival = read('{"a":1}', { ce_id: 'e-1', ce_time: '2001-01-14T18:28:00-06:00' })
    expect(arrival).toEqual({
      kind: 'event',
      event: { a: 1 },
      text: '{"a":1}',
      eventId: 'e-1',
      eventTime: '2001-01-14T18:28:00-06:00',
      eventTimeMs: Date.UTC(2001, 0, 15, 0, 28),
    })
  })

  test('asks the contract where a record came without headers', () => {
    const contract = contractOf({ eventId: '/id', eventTime: { at: '/at', format: null, zone: 'UTC' } })
    expect(read('{"id":"x-9","at":"2020-02-03T04:05:06Z"}', {}, contract)).toMatchObject({
      eventId: 'x-9',
      eventTime: '2020-02-03T04:05:06Z',
    })
  })

  test('a record without any id is its own event, and its receipt time is its time', () => {
    expect(read('{}')).toMatchObject({ eventId: 'raw-1:3:42', eventTime: '2026-01-02T03:04:05.000Z' })
  })

  test('an unreadable ce_time falls back to the receipt time', () => {
    expect(read('{}', { ce_time: 'yesterday' })).toMatchObject({ eventTime: '2026-01-02T03:04:05.000Z' })
  })

  test('a null value is a tombstone with an identity', () => {
    expect(read(null, { ce_id: 'e-2' })).toMatchObject({ kind: 'tombstone', eventId: 'e-2' })
    expect(read(null)).toMatchObject({ kind: 'tombstone', eventId: 'raw-1:3:42' })
  })

  test('an integer beyond 2^53 stays exact', () => {
    expect(read('{"n":9007199254740993}')).toMatchObject({ event: { n: 9007199254740993n } })
  })

  test.each([
    ['no JSON', '{"a":', 'MESH_DECODE_JSON'],
    ['an empty value', '', 'MESH_DECODE_JSON'],
  ])('%s is poison', (_name, value, code) => {
    expect(read(value)).toMatchObject({ kind: 'poison', problem: { code, stage: 'decode' } })
  })

  test('bytes that are not UTF-8 are poison', () => {
    const broken = { ...record('{}'), value: Uint8Array.of(0x22, 0xff, 0x22) }
    expect(readArrival({ at: AT, record: broken }, contractOf({}))).toMatchObject({
      kind: 'poison',
      problem: { code: 'MESH_DECODE_JSON' },
    })
  })

  test('a missing id that the contract asks for is poison', () => {
    expect(read('{}', {}, contractOf({ eventId: '/id' }))).toMatchObject({
      kind: 'poison',
      problem: { code: 'MESH_EVENT_ID' },
    })
  })
})
