import { refinedHash } from '@mesh/shared/core/books'
import { formatMeshSrc, MAIN_LANE } from '@mesh/shared/core/coordinate'
import { header, type KafkaRecord } from '@mesh/shared/core/record'
import { readParquetRows, writeParquet } from '@mesh/shared/lake/parquet'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { describe, expect, it } from 'vitest'
import { createSilverSource } from '../../../src/adapters/silver-source.ts'
import type { Entry } from '../../../src/core/entry.ts'

const avsc = (...fields: readonly unknown[]): string => JSON.stringify({ type: 'record', name: 'Flight', fields })
const ID = { name: 'id', type: 'long' }
const PRICE = {
  name: 'price',
  type: ['null', { type: 'bytes', logicalType: 'decimal', precision: 12, scale: 2 }],
  default: null,
}
const NOTE = { name: 'note', type: ['null', 'string'], default: null }
const SCHEMAS: Readonly<Record<number, string>> = { 7: avsc(ID, PRICE), 3: avsc(ID, PRICE, NOTE), 9: avsc(ID) }

const registry = { schemaById: async (id: number) => SCHEMAS[id]! }
const codec = createAvroCodec(registry)
const SRC = { lane: MAIN_LANE, topicId: 'raw-1', partition: 4, offset: 100, index: 2 }

function refined(schemaId: number, value: unknown, changes: Partial<KafkaRecord> = {}): KafkaRecord {
  return {
    offset: 55,
    timestamp: 1_700_000_000_000,
    key: Buffer.from('key'),
    value: value === null ? null : codec.encode(schemaId, SCHEMAS[schemaId]!, value),
    headers: [
      header('ce_id', 'event-1'),
      header('ce_time', '2026-01-02T03:04:05.123456789+01:00'),
      header('mesh-src', formatMeshSrc(SRC)),
    ],
    ...changes,
  }
}

const open = (...schemaIds: readonly number[]) => createSilverSource({ registry, codec, version: 2, schemaIds })

async function roundTrip(source: Awaited<ReturnType<typeof open>>, entry: Entry): Promise<Record<string, unknown>> {
  const bytes = writeParquet({ columns: source.columns(), rows: [entry.row], keyValues: {} })
  return (await readParquetRows(bytes))[0]!
}

describe('silver source', () => {
  it('gives typed values and the mesh columns of a refined record', async () => {
    const source = await open(7)
    const record = refined(7, { id: 9007199254740993n, price: '10.50' })
    const entry = await source.read(record)
    const hash = refinedHash(SRC, record.key, record.value!.subarray(5))
    expect(entry).toMatchObject({ offset: 55, src: SRC, hash, eventTime: Date.parse('2026-01-02T02:04:05.123Z') })
    expect(await roundTrip(source, entry)).toEqual({
      id: 9007199254740993n,
      price: '10.50',
      _op: 'upsert',
      _key: 'key',
      _lane: 'main',
      _topic_id: 'raw-1',
      _partition: 4,
      _offset: 100n,
      _index: 2,
      _raw_offset: 100n,
      _event_id: 'event-1',
      _event_time: '2026-01-02T02:04:05.123456Z',
      _schema_id: 7,
      _hash: hash.toString(16).padStart(32, '0'),
      _version: 2,
    })
  })

  it('writes a tombstone as a delete without values', async () => {
    const source = await open(7)
    const entry = await source.read(refined(7, null))
    expect(await roundTrip(source, entry)).toMatchObject({ id: null, price: null, _op: 'delete', _schema_id: null })
  })

  it('reads records of older bundles with the newest schema, without a new file', async () => {
    const source = await open(9, 7, 3)
    const old = refined(9, { id: 1n })
    expect(source.changes(old)).toBe(false)
    expect(await roundTrip(source, await source.read(old))).toMatchObject({
      id: 1n,
      price: null,
      note: null,
      _schema_id: 9,
    })
  })

  it('takes over the columns of a schema that no bundle names yet, whatever its id', async () => {
    const source = await open(7)
    const newer = refined(3, { id: 1n, price: null, note: 'new' })
    expect(source.columns().some(({ name }) => name === 'note')).toBe(false)
    expect(source.changes(newer)).toBe(true)
    expect(await roundTrip(source, await source.read(newer))).toMatchObject({ note: 'new', _schema_id: 3 })
    expect(source.changes(newer)).toBe(false)
    const old = refined(7, { id: 2n, price: '1.00' })
    expect(source.changes(old)).toBe(false)
    expect(await roundTrip(source, await source.read(old))).toMatchObject({ id: 2n, price: '1.00', note: null })
  })

  it('takes the receipt time where the event time is unreadable', async () => {
    const source = await open(7)
    const headers = [header('ce_time', 'yesterday'), header('mesh-src', formatMeshSrc(SRC))]
    const entry = await source.read(refined(7, { id: 1n, price: null }, { headers }))
    expect(entry.eventTime).toBe(1_700_000_000_000)
    expect(await roundTrip(source, entry)).toMatchObject({ _event_time: '2023-11-14T22:13:20.000000Z' })
  })

  it('refuses what is not a refined record', async () => {
    const source = await open(7)
    const unframed = refined(7, null, { value: Buffer.from('{"id":1}') })
    expect(source.changes(unframed)).toBe(false)
    for (const record of [unframed, refined(7, { id: 1n, price: null }, { headers: [] })]) {
      await expect(source.read(record)).rejects.toMatchObject({ code: 'MESH_DECODE_AVRO' })
    }
  })
})
