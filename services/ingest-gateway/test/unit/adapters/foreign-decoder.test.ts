import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { bytesText } from '@mesh/shared/core/record'
import type { KafkaSource } from '@mesh/shared/core/source'
import { createGuardedHttp } from '@mesh/shared/runtime/guarded-http'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import protobuf from 'protobufjs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createForeignDecoder } from '../../../src/adapters/foreign-decoder.ts'

const AVSC = JSON.stringify({
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'raw', type: 'bytes' },
    { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'ratio', type: 'double' },
  ],
})
const MONEY = 'syntax = "proto3"; package shop; message Money { int64 units = 1; string currency = 2; }'
const PROTO = `syntax = "proto3"; package shop; import "money.proto"; import "google/protobuf/timestamp.proto";
message Other { int32 x = 1; }
message Outer { message Order { int64 order_id = 1; Money total = 2; State state = 3; google.protobuf.Timestamp at = 4; } }
enum State { NEW = 0; PAID = 1; }`

const SCHEMAS: Record<string, unknown> = {
  '/schemas/ids/1': { schema: AVSC },
  '/schemas/ids/2': { schema: '{"type":"object"}', schemaType: 'JSON' },
  '/schemas/ids/3': {
    schema: PROTO,
    schemaType: 'PROTOBUF',
    references: [{ name: 'money.proto', subject: 'money', version: 1 }],
  },
  '/subjects/money/versions/1': { schema: MONEY },
}

let url = ''
let port = 0
let authorization: string | undefined
const server = createServer((request, response) => {
  authorization = request.headers.authorization
  const found = SCHEMAS[request.url ?? '']
  if (found === undefined) response.writeHead(404).end('{}')
  else response.end(JSON.stringify(found))
})
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port
  url = `http://127.0.0.1:${port}`
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

type Decode = ReturnType<typeof createForeignDecoder>
function decoder(registry = url): Decode {
  const source: KafkaSource = {
    name: 'legacy',
    description: '',
    owner: '',
    kind: 'kafka',
    brokers: 'x:1',
    tls: false,
    sasl: null,
    registry: { url: registry, user: 'reader', password: 'env:PASSWORD' },
  }
  const http = createGuardedHttp({ allowedCidrs: ['127.0.0.0/8'], ports: [port] })
  return createForeignDecoder('registry', source, { http, readSecret: async () => 'secret' })
}

const framed = (id: number, payload: Uint8Array): Uint8Array => Buffer.concat([Buffer.from([0, 0, 0, 0, id]), payload])
const recordOf = (value: Uint8Array | null, key: Uint8Array | null = null): KafkaRecord => ({
  offset: 0,
  timestamp: 0,
  key,
  value,
  headers: [],
})

test('Avro becomes JSON without loss: long numbers keep their digits, bytes are base64', async () => {
  const codec = createAvroCodec({ schemaById: async () => AVSC })
  const record = { id: 9007199254740993n, raw: new Uint8Array([1, 2]), at: '2026-01-01T00:00:00.000Z', ratio: 0.5 }
  const { value } = await decoder()(recordOf(codec.encode(1, AVSC, record)))
  expect(bytesText(value!)).toBe('{"id":9007199254740993,"raw":"AQI=","at":"2026-01-01T00:00:00.000Z","ratio":0.5}')
  expect(authorization).toBe(`Basic ${Buffer.from('reader:secret').toString('base64')}`)
})

test('JSON Schema values are their own bytes', async () => {
  const { value } = await decoder()(recordOf(framed(2, Buffer.from('{ "a":1.0 }'))))
  expect(bytesText(value!)).toBe('{ "a":1.0 }')
})

test('Protobuf is decoded by the path of its type, with imports and nested types', async () => {
  const root = new protobuf.Root()
  protobuf.parse(MONEY, root, { keepCase: true })
  protobuf.parse(PROTO, root, { keepCase: true })
  root.addJSON(protobuf.common.get('google/protobuf/timestamp.proto')!.nested!)
  const type = root.lookupType('shop.Outer.Order')
  const message = { order_id: 5, total: { units: 7, currency: 'EUR' }, state: 1, at: { seconds: 60, nanos: 0 } }
  // Two indexes: the second message of the file, its first nested type.
  const payload = Buffer.concat([Buffer.from([4, 2, 0]), type.encode(type.create(message)).finish()])
  const { value } = await decoder()(recordOf(framed(3, payload)))
  expect(JSON.parse(bytesText(value!))).toEqual({
    order_id: 5,
    total: { units: 7, currency: 'EUR' },
    state: 'PAID',
    at: { seconds: 60, nanos: 0 },
  })
  const first = Buffer.concat([Buffer.from([0]), root.lookupType('shop.Other').encode({ x: 9 }).finish()])
  expect(bytesText((await decoder()(recordOf(framed(3, first)))).value!)).toBe('{"x":9}')
})

test('what does not match its schema goes on as it came', async () => {
  for (const bytes of [framed(1, new Uint8Array([1])), new Uint8Array([7, 7, 7]), framed(3, new Uint8Array([99]))]) {
    const decoded = await decoder()(recordOf(bytes))
    expect(decoded).toMatchObject({ undecoded: true })
    expect(decoded.value).toBe(bytes)
  }
})

test('a registry that does not know or does not answer stops the copy instead of losing', async () => {
  await expect(decoder()(recordOf(framed(9, new Uint8Array(1))))).rejects.toMatchObject({ code: 'MESH_SCHEMA_UNKNOWN' })
  await expect(decoder('http://10.0.0.1')(recordOf(framed(1, new Uint8Array(1))))).rejects.toMatchObject({
    code: 'MESH_HTTP_TARGET_REFUSED',
  })
})

test('a framed key is its text; other keys stay what they are', async () => {
  const keyed = async (key: Uint8Array | null): Promise<string | null> => (await decoder()(recordOf(null, key))).key
  expect(await keyed(framed(2, Buffer.from('"k"')))).toBe('k')
  expect(await keyed(framed(2, Buffer.from('{"id":1}')))).toBe('{"id":1}')
  expect(await keyed(Buffer.from('plain'))).toBe('plain')
  expect(await keyed(new Uint8Array([0, 1, 2, 3, 4, 5]))).toBe('\u0000\u0001\u0002\u0003\u0004\u0005')
  expect(await keyed(null)).toBeNull()
})
