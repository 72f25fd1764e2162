import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { gatewayDouble } from '../support/gateway.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const NDJSON_TYPE = { 'content-type': 'application/x-ndjson' }

type Refusal = {
  title: string
  stream?: string
  headers?: Record<string, string>
  payload?: string | Buffer
  status: number
  code: string
  says?: RegExp
}
const NOT_UTF8 = Buffer.from([0x22, 0xc3, 0x28, 0x22])
const REFUSALS: Refusal[] = [
  {
    title: 'an unknown stream, with the nearest name',
    stream: 'flihgts',
    status: 404,
    code: 'MESH_STREAM_UNKNOWN',
    says: /did you mean flights\?/,
  },
  { title: 'a stream without ingest of kind events', stream: 'github', status: 404, code: 'MESH_STREAM_NO_INGEST' },
  { title: 'a missing API key', stream: 'closed', status: 401, code: 'MESH_AUTH_MISSING' },
  {
    title: 'an empty bearer token',
    stream: 'closed',
    headers: { authorization: 'Bearer ' },
    status: 401,
    code: 'MESH_AUTH_MISSING',
  },
  {
    title: 'a wrong API key',
    stream: 'closed',
    headers: { 'x-api-key': 'k-0' },
    status: 401,
    code: 'MESH_AUTH_INVALID',
  },
  { title: 'a missing Content-Type', headers: { 'content-type': '' }, status: 415, code: 'MESH_BODY_MEDIA_TYPE' },
  {
    title: 'another Content-Type',
    headers: { 'content-type': 'text/plain' },
    status: 415,
    code: 'MESH_BODY_MEDIA_TYPE',
    says: /text\/plain/,
  },
  {
    title: 'a Content-Type named like a property of objects',
    headers: { 'content-type': 'constructor' },
    status: 415,
    code: 'MESH_BODY_MEDIA_TYPE',
  },
  {
    title: 'another charset',
    headers: { 'content-type': 'application/json; charset=latin1' },
    status: 415,
    code: 'MESH_BODY_MEDIA_TYPE',
  },
  {
    title: 'another Content-Encoding',
    headers: { 'content-encoding': 'br' },
    status: 415,
    code: 'MESH_BODY_COMPRESSION',
  },
  { title: 'a body that is not gzip', headers: { 'content-encoding': 'gzip' }, status: 400, code: 'MESH_BODY_GZIP' },
  {
    title: 'a gzip body cut short',
    headers: { 'content-encoding': 'gzip' },
    payload: gzipSync('{"a":1}').subarray(0, 15),
    status: 400,
    code: 'MESH_BODY_GZIP',
  },
  {
    title: 'a gzip bomb',
    headers: { 'content-encoding': 'gzip' },
    payload: gzipSync(Buffer.alloc(5_000_000, 0x20)),
    status: 413,
    code: 'MESH_BODY_TOO_LARGE',
  },
  {
    title: 'a body over the limit',
    payload: `"${'x'.repeat(20_000)}"`,
    status: 413,
    code: 'MESH_BODY_TOO_LARGE',
    says: /20000 bytes/,
  },
  {
    title: 'an event over the limit',
    payload: `"${'x'.repeat(6000)}"`,
    status: 413,
    code: 'MESH_EVENT_TOO_LARGE',
    says: /6002 bytes/,
  },
  {
    title: 'too many events',
    payload: `[${'1,'.repeat(50)}1]`,
    status: 413,
    code: 'MESH_BODY_TOO_MANY',
    says: /more than 50/,
  },
  { title: 'too many lines', headers: NDJSON_TYPE, payload: '1\n'.repeat(51), status: 413, code: 'MESH_BODY_TOO_MANY' },
  { title: 'an empty body', payload: '', status: 400, code: 'MESH_BODY_EMPTY' },
  { title: 'a body of white space', payload: ' \n ', status: 400, code: 'MESH_BODY_EMPTY' },
  { title: 'an empty array', payload: '[]', status: 400, code: 'MESH_BODY_EMPTY' },
  { title: 'empty NDJSON', headers: NDJSON_TYPE, payload: '\n\n', status: 400, code: 'MESH_BODY_EMPTY' },
  {
    title: 'truncated JSON, with its place',
    payload: '{"a":1,\n"b":',
    status: 400,
    code: 'MESH_EVENT_JSON',
    says: /line 2, column 5/,
  },
  { title: 'text behind the value', payload: '{} {}', status: 400, code: 'MESH_EVENT_JSON' },
  { title: 'bytes that are not UTF-8', payload: NOT_UTF8, status: 400, code: 'MESH_BODY_ENCODING' },
  {
    title: 'NDJSON that is not UTF-8',
    headers: NDJSON_TYPE,
    payload: NOT_UTF8,
    status: 400,
    code: 'MESH_BODY_ENCODING',
  },
  {
    title: 'a missing key',
    stream: 'flights',
    payload: '{"id":1}',
    status: 422,
    code: 'MESH_EVENT_KEY',
    says: /\/origin/,
  },
  {
    title: 'a key that is an object',
    stream: 'flights',
    payload: '{"id":1,"origin":{}}',
    status: 422,
    code: 'MESH_EVENT_KEY',
  },
  {
    title: 'a missing event id',
    stream: 'flights',
    payload: '{"origin":"ORD"}',
    status: 422,
    code: 'MESH_EVENT_ID',
    says: /\/id/,
  },
  {
    title: 'an event id that is too long',
    headers: { 'idempotency-key': 'k'.repeat(1025) },
    status: 422,
    code: 'MESH_EVENT_ID',
    says: /1025 bytes/,
  },
  {
    title: 'an event that breaks raw.schema.json, with the place',
    stream: 'checked',
    payload: '{"id":1,"nested":{"n":"x"}}',
    status: 422,
    code: 'MESH_EVENT_SCHEMA',
    says: /\/nested\/n must be number/,
  },
  {
    title: 'another CloudEvents version',
    headers: { 'ce-specversion': '0.3', 'ce-id': '1' },
    status: 400,
    code: 'MESH_EVENT_CLOUDEVENTS',
    says: /specversion/,
  },
  {
    title: 'CloudEvents headers without a version',
    headers: { 'ce-id': '1' },
    status: 400,
    code: 'MESH_EVENT_CLOUDEVENTS',
  },
  {
    title: 'ce-id on several events',
    headers: { 'ce-specversion': '1.0', 'ce-id': '1' },
    payload: '[1,2]',
    status: 400,
    code: 'MESH_EVENT_CLOUDEVENTS',
  },
  {
    title: 'an unreadable ce-time',
    headers: { 'ce-specversion': '1.0', 'ce-time': 'now' },
    status: 400,
    code: 'MESH_EVENT_CLOUDEVENTS',
  },
  {
    title: 'a ce- value that decodes to no UTF-8',
    headers: { 'ce-specversion': '1.0', 'ce-subject': '%ff' },
    status: 400,
    code: 'MESH_EVENT_CLOUDEVENTS',
  },
  {
    title: 'structured CloudEvents',
    headers: { 'content-type': 'application/cloudevents+json' },
    status: 415,
    code: 'MESH_BODY_MEDIA_TYPE',
  },
]

describe('what is refused, and writes nothing', () => {
  test.for(REFUSALS)(
    '$title → $status $code',
    async ({ stream = 'open', headers, payload = '{}', status, code, says }) => {
      const { app, producer, admission } = gatewayDouble()
      const sent: Record<string, string> = { ...JSON_TYPE, ...headers }
      if (sent['content-type'] === '') delete sent['content-type']
      const reply = await app.inject({ method: 'POST', url: `/v1/streams/${stream}/events`, headers: sent, payload })
      expect([reply.statusCode, reply.json().code]).toEqual([status, code])
      expect(reply.json().hint).toBeTruthy()
      if (says) expect(reply.json().message).toMatch(says)
      if (status === 401) expect(reply.headers['www-authenticate']).toMatch(/^Bearer/)
      expect(producer.written).toHaveLength(0)
      expect(admission.inFlightBytes()).toBe(0)
    },
  )

  test('a route that is none', async () => {
    const { app } = gatewayDouble()
    const reply = await app.inject({ method: 'GET', url: '/v1/streams/open/events' })
    expect([reply.statusCode, reply.json().code]).toEqual([404, 'MESH_ROUTE_UNKNOWN'])
  })

  test('refusals are counted by code, unknown streams without their name', async () => {
    const { app, metrics } = gatewayDouble()
    await app.inject({ method: 'POST', url: '/v1/streams/none/events', headers: JSON_TYPE, payload: '{}' })
    await app.inject({ method: 'POST', url: '/v1/streams/open/events', headers: JSON_TYPE, payload: '{' })
    const text = await metrics.prometheus()
    expect(text).toMatch(/mesh_ingest_events_rejected_total\{stream="-",code="MESH_STREAM_UNKNOWN".*\} 1/)
    expect(text).toMatch(/mesh_ingest_events_rejected_total\{stream="open",code="MESH_EVENT_JSON".*\} 1/)
  })
})
