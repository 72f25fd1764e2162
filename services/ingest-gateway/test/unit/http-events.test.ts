import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { API_KEY, gatewayDouble, headersOf, keyText, RECEIVED_AT, valueText } from '../support/gateway.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const NDJSON_TYPE = { 'content-type': 'application/x-ndjson' }

describe('posting events', () => {
  test('one JSON event is written as its exact bytes and answered with its receipt', async () => {
    const { app, producer } = gatewayDouble()
    const body = '  {"b": 1.0,  "a": 12345678901234567890, "a": "\\u00e9"}\n'
    const reply = await app.inject({
      method: 'POST',
      url: '/v1/streams/open/events',
      headers: JSON_TYPE,
      payload: body,
    })
    expect(reply.statusCode).toBe(200)
    const [written] = producer.written
    expect(reply.json()).toEqual({
      receipts: [
        {
          index: 0,
          status: 'accepted',
          eventId: 'fresh-0',
          topic: 'raw.open.v1',
          partition: written?.record.partition,
          offset: 0,
        },
      ],
    })
    expect(valueText(written!)).toBe(body.trim())
    expect(keyText(written!)).toBe('fresh-0')
    expect(written?.record.timestamp).toBe(RECEIVED_AT)
    expect(headersOf(written!)).toEqual({
      ce_specversion: '1.0',
      ce_id: 'fresh-0',
      ce_source: '/v1/streams/open',
      ce_type: 'mesh.open',
      ce_time: new Date(RECEIVED_AT).toISOString(),
      'content-type': 'application/json',
    })
  })

  test('an array gives one record per element, ids from the Idempotency-Key and receipts in order', async () => {
    const { app, producer } = gatewayDouble()
    const headers = { ...JSON_TYPE, 'idempotency-key': 'run-7' }
    const reply = await app.inject({
      method: 'POST',
      url: '/v1/streams/open/events',
      headers,
      payload: '[ {"n":1} ,2, "x" ]',
    })
    expect(reply.statusCode).toBe(200)
    expect(reply.json().receipts.map((r: { index: number; eventId: string }) => [r.index, r.eventId])).toEqual([
      [0, 'run-7/0'],
      [1, 'run-7/1'],
      [2, 'run-7/2'],
    ])
    expect(producer.written.map(valueText).sort()).toEqual(['"x"', '2', '{"n":1}'])
  })

  test('an Idempotency-Key on one event is its id, with or without quotes', async () => {
    const { app } = gatewayDouble()
    for (const key of ['once', '"once"']) {
      const headers = { ...JSON_TYPE, 'idempotency-key': key }
      const reply = await app.inject({ method: 'POST', url: '/v1/streams/open/events', headers, payload: '{}' })
      expect(reply.json().receipts[0].eventId).toBe('once')
    }
  })

  test("the contract's pointers decide id, key, partition and event time, also over ce-id", async () => {
    const { app, producer } = gatewayDouble()
    const headers = { ...JSON_TYPE, 'ce-specversion': '1.0', 'ce-id': 'from-header', 'idempotency-key': 'k' }
    const payload = '{"id":9007199254740993,"origin":"ORD","at":1700000000}'
    const reply = await app.inject({ method: 'POST', url: '/v1/streams/flights/events', headers, payload })
    expect(reply.json().receipts[0].eventId).toBe('9007199254740993')
    const [written] = producer.written
    expect(keyText(written!)).toBe('ORD')
    expect(headersOf(written!)['ce_time']).toBe('2023-11-14T22:13:20.000Z')
  })

  test('an unreadable event time falls back to the receipt time and is counted', async () => {
    const { app, producer, metrics } = gatewayDouble()
    const payload = '{"id":"a","origin":"ORD","at":"yesterday"}'
    const reply = await app.inject({ method: 'POST', url: '/v1/streams/flights/events', headers: JSON_TYPE, payload })
    expect(reply.statusCode).toBe(200)
    expect(headersOf(producer.written[0]!)['ce_time']).toBe(new Date(RECEIVED_AT).toISOString())
    expect(await metrics.prometheus()).toMatch(/mesh_ingest_event_time_unreadable_total\{.*stream="flights".*\} 1/)
  })

  test('CloudEvents binary headers become attributes; foreign and reserved headers are left behind', async () => {
    const { app, producer } = gatewayDouble()
    const headers = {
      ...JSON_TYPE,
      'ce-specversion': '1.0',
      'ce-id': 'e-1',
      'ce-type': 'com.example.made',
      'ce-source': '/sensors/tn-1234567/alerts',
      'ce-time': '2020-02-03T04:05:06.789+01:00',
      'ce-subject': 'Euro%20%E2%82%AC%20%F0%9F%98%80',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      'mesh-src': 'main;x;0;0;0',
      'mesh-code': 'forged',
      __connect_errors: 'x',
      'x-custom': 'no',
      cookie: 'secret=1',
    }
    const reply = await app.inject({ method: 'POST', url: '/v1/streams/open/events', headers, payload: '{}' })
    expect(reply.statusCode).toBe(200)
    expect(headersOf(producer.written[0]!)).toEqual({
      ce_specversion: '1.0',
      ce_id: 'e-1',
      ce_source: '/sensors/tn-1234567/alerts',
      ce_type: 'com.example.made',
      ce_time: '2020-02-03T04:05:06.789+01:00',
      ce_subject: 'Euro € 😀',
      'content-type': 'application/json',
      traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    })
  })

  test('gzip is taken', async () => {
    const { app, producer } = gatewayDouble()
    const headers = { ...NDJSON_TYPE, 'content-encoding': 'gzip' }
    const reply = await app.inject({
      method: 'POST',
      url: '/v1/streams/open/events',
      headers,
      payload: gzipSync('{"a":1}\r\n\n{"b":2}'),
    })
    expect(reply.statusCode).toBe(200)
    expect(producer.written.map(valueText).sort()).toEqual(['{"a":1}', '{"b":2}'])
  })
})

describe('a batch with good and bad events', () => {
  test('one bad NDJSON line is refused by its line, its neighbours land (207)', async () => {
    const { app, producer } = gatewayDouble()
    const payload = '{"a":1}\n\n{"a":\n{"a":3}\n'
    const reply = await app.inject({ method: 'POST', url: '/v1/streams/open/events', headers: NDJSON_TYPE, payload })
    expect(reply.statusCode).toBe(207)
    const { receipts } = reply.json()
    expect(receipts.map((r: { status: string }) => r.status)).toEqual(['accepted', 'rejected', 'accepted'])
    expect(receipts[1]).toMatchObject({ index: 1, code: 'MESH_EVENT_JSON', place: 'line 3' })
    expect(producer.written.map(valueText)).toEqual(['{"a":1}', '{"a":3}'])
  })

  test('an oversize element is refused alone', async () => {
    const { app, producer } = gatewayDouble()
    const payload = JSON.stringify([1, 'x'.repeat(6000), 3])
    const reply = await app.inject({ method: 'POST', url: '/v1/streams/open/events', headers: JSON_TYPE, payload })
    expect(reply.statusCode).toBe(207)
    expect(reply.json().receipts[1]).toMatchObject({ code: 'MESH_EVENT_TOO_LARGE', place: 'element 1' })
    expect(producer.written).toHaveLength(2)
  })

  test('when none is good the status is that of the errors, or 422 when they differ', async () => {
    const { app, producer } = gatewayDouble()
    const url = '/v1/streams/flights/events'
    const same = await app.inject({ method: 'POST', url, headers: NDJSON_TYPE, payload: '{"id":1}\n{"id":2}' })
    expect(same.statusCode).toBe(422)
    expect(same.json()).toMatchObject({ code: 'MESH_EVENT_KEY', receipts: [{ index: 0 }, { index: 1 }] })
    const mixed = await app.inject({ method: 'POST', url, headers: NDJSON_TYPE, payload: '{"id":1}\n{' })
    expect(mixed.statusCode).toBe(422)
    const broken = await app.inject({ method: 'POST', url, headers: NDJSON_TYPE, payload: '{\n[' })
    expect(broken.statusCode).toBe(400)
    expect(producer.written).toHaveLength(0)
  })
})

describe('API keys', () => {
  test.for([
    { authorization: `Bearer ${API_KEY}` },
    { authorization: `bearer  ${API_KEY}` },
    { 'x-api-key': API_KEY },
    { 'x-api-key': 'k-2:with-colon' },
  ])('%o is taken', async (credential) => {
    const { app } = gatewayDouble()
    const headers = { ...JSON_TYPE, ...credential }
    const reply = await app.inject({ method: 'POST', url: '/v1/streams/closed/events', headers, payload: '{}' })
    expect(reply.statusCode).toBe(200)
  })

  test("the key's name is the principal in the metrics", async () => {
    const { app, metrics } = gatewayDouble()
    const headers = { ...JSON_TYPE, 'x-api-key': API_KEY }
    await app.inject({ method: 'POST', url: '/v1/streams/closed/events', headers, payload: '[1,22]' })
    const text = await metrics.prometheus()
    expect(text).toMatch(/mesh_ingest_events_accepted_total\{stream="closed",principal="alice".*\} 2/)
    expect(text).toMatch(/mesh_ingest_bytes_accepted_total\{stream="closed",principal="alice".*\} 3/)
  })
})
