import { describe, expect, it } from 'vitest'
import { refinedHash } from '../../../src/core/books.ts'
import type { KafkaRecord } from '../../../src/core/record.ts'
import { header, textBytes } from '../../../src/core/record.ts'
import { createAvroCodec } from '../../../src/schema/avro-codec.ts'
import { createRowReader } from '../../../src/schema/refined-row.ts'

const OLD = JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'a', type: 'long' }] })
const NEW = JSON.stringify({
  type: 'record',
  name: 'R',
  fields: [
    { name: 'a', type: 'long' },
    { name: 'b', type: 'string', default: 'none' },
  ],
})
const schemas = ['', OLD, NEW]
const codec = createAvroCodec({ schemaById: (id) => Promise.resolve(schemas[id]!) })
const read = createRowReader({ codec, readerAvsc: NEW, version: 3 })
const src = { lane: 'main', topicId: 'T', partition: 2, offset: 40, index: 1 }

const record = (value: Uint8Array | null, ...headers: KafkaRecord['headers']): KafkaRecord => ({
  offset: 99,
  timestamp: 5,
  key: textBytes('k/1'),
  value,
  headers: [header('mesh-src', 'main;T;2;40;1'), ...headers],
})

describe('a refined row', () => {
  it('has the columns of the reading schema, also from an older record', async () => {
    const value = codec.encode(1, OLD, { a: 7 })
    const times = [header('ce_id', 'e1'), header('ce_time', '2020-01-01T00:00:00Z')]
    expect(await read(record(value, ...times))).toEqual({
      op: 'upsert',
      key: 'k/1',
      src,
      rawOffset: 40,
      eventId: 'e1',
      eventTime: '2020-01-01T00:00:00Z',
      schemaId: 1,
      hash: refinedHash(src, textBytes('k/1'), value.subarray(5)),
      version: 3,
      values: [7n, 'none'],
    })
  })

  it('names the raw record of a released output, whose own offset counts releases', async () => {
    const lane = [header('mesh-src', 'parked;T;2;999999;0'), header('mesh-origin', 'T;2;40;1')]
    expect(await read(record(null, ...lane))).toMatchObject({ src: { lane: 'parked', offset: 999_999 }, rawOffset: 40 })
    await expect(read(record(null, lane[0]!))).rejects.toMatchObject({ code: 'MESH_DECODE_AVRO' })
  })

  it('is hashed without the frame, so a schema id of another registry changes nothing', async () => {
    const one = await read(record(codec.encode(2, NEW, { a: 7 })))
    const payload = codec.encode(1, OLD, { a: 7 }).subarray(5)
    expect(one.hash).not.toBe(refinedHash(src, textBytes('k/1'), payload))
    expect(one.hash).toBe(refinedHash(src, textBytes('k/1'), codec.encode(77, NEW, { a: 7 }).subarray(5)))
  })

  it('is a delete where the value is null, with nothing in its columns', async () => {
    expect(await read(record(null))).toMatchObject({
      op: 'delete',
      schemaId: null,
      values: [null, null],
      hash: refinedHash(src, textBytes('k/1'), null),
    })
  })

  it('takes mesh-src and the Kafka timestamp where event id and time are missing', async () => {
    expect(await read(record(null))).toMatchObject({ eventId: 'main;T;2;40;1', eventTime: '1970-01-01T00:00:00.005Z' })
  })

  it('cannot be read without mesh-src, or from an unframed value', async () => {
    const bare = { ...record(null), headers: [] }
    await expect(read(bare)).rejects.toMatchObject({ code: 'MESH_DECODE_AVRO' })
    await expect(read(record(textBytes('{"a":1}')))).rejects.toMatchObject({ code: 'MESH_DECODE_AVRO' })
  })
})
