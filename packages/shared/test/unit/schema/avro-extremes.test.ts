import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, describe, expect, it } from 'vitest'
import { header, textBytes } from '../../../src/core/record.ts'
import { writeParquet } from '../../../src/lake/parquet.ts'
import { createAvroCodec } from '../../../src/schema/avro-codec.ts'
import { columnsOf } from '../../../src/schema/columns.ts'
import { createRowReader } from '../../../src/schema/refined-row.ts'
import { createMemoryKafka } from '../../../src/testing/memory-kafka.ts'
import { EXTREMES } from './avro-extremes.ts'

const duckdb = await DuckDBInstance.create()
afterAll(() => duckdb.closeSync())

const avscOf = (type: unknown): string => JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'v', type }] })

/** Through a topic, as the enricher writes and everybody reads. */
async function throughTopic(avsc: string, given: unknown, readerAvsc = avsc) {
  const codec = createAvroCodec({ schemaById: () => Promise.resolve(avsc) })
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([{ name: 'refined', partitions: 1, config: {} }])
  const producer = await kafka.producer()
  const framed = codec.encode(1, avsc, { v: given })
  const headers = [header('mesh-src', 'main;T;0;0;0')]
  await producer.send('refined', [{ partition: 0, key: textBytes('k'), value: framed, headers }])
  const [record] = await new Promise<Parameters<ReturnType<typeof createRowReader>>[0][]>((resolve, reject) => {
    kafka
      .readRanges('refined', [{ partition: 0, from: 0, to: 1 }], (batch) => resolve([...batch.records]))
      .catch(reject)
  })
  const decoded = (await codec.decode(record!.value!, readerAvsc)).record['v']
  const row = await createRowReader({ codec, readerAvsc, version: 1 })(record!)
  const again = codec.encode(1, avsc, { v: readerAvsc === avsc ? decoded : given })
  await kafka.close()
  return { decoded, row, framed, again }
}

/** The one column in a Parquet file, as DuckDB shows it. */
async function shownByDuckDb(avsc: string, value: unknown): Promise<unknown> {
  const folder = await mkdtemp(path.join(tmpdir(), 'mesh-extreme-'))
  const connection = await duckdb.connect()
  try {
    const file = path.join(folder, 'file.parquet')
    const columns = columnsOf(avsc).map((column) => ({ ...column, nullable: true }))
    await writeFile(file, writeParquet({ columns, rows: [[value]], keyValues: {} }))
    await connection.run("set timezone = 'UTC'")
    const reader = await connection.runAndReadAll(`select v::varchar as v from read_parquet('${file}')`)
    return reader.getRowObjects()[0]!['v']
  } finally {
    connection.closeSync()
    await rm(folder, { recursive: true, force: true })
  }
}

describe('extreme values survive encoder, topic, decoder, Parquet and DuckDB', () => {
  it.each(EXTREMES)('%s', async (_name, type, given, decoded, shown) => {
    const avsc = avscOf(type)
    const through = await throughTopic(avsc, given)
    expect(through.decoded).toEqual(decoded)
    // toEqual does not tell -0 from 0.
    if (typeof decoded === 'number') expect(Object.is(through.decoded, decoded)).toBe(true)
    // What was read gives the same bytes again: a replay is byte-equal.
    expect(Buffer.from(through.again).equals(through.framed)).toBe(true)
    expect(await shownByDuckDb(avsc, through.row.values[0])).toBe(shown)
  })

  it('a symbol that the reader does not know is its default', async () => {
    const written = avscOf({ type: 'enum', name: 'E', symbols: ['A', 'B'] })
    const reader = avscOf({ type: 'enum', name: 'E', symbols: ['A', 'UNKNOWN'], default: 'UNKNOWN' })
    const { decoded, row } = await throughTopic(written, 'B', reader)
    expect([decoded, row.values[0]]).toEqual(['UNKNOWN', 'UNKNOWN'])
  })
})

describe('what cannot be held exactly is refused, never rounded', () => {
  const codec = createAvroCodec({ schemaById: () => Promise.resolve('') })
  it.each([
    ['an integer that was rounded', 'long', 2 ** 53 + 2],
    ['an integer beyond 64 bits', 'long', 2n ** 63n],
    ['a digit too many', { type: 'bytes', logicalType: 'decimal', precision: 4, scale: 2 }, '123.45'],
    ['a fraction too fine', { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }, '0.001'],
    ['a decimal in a float', { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }, 0.1],
    ['microseconds in milliseconds', { type: 'long', logicalType: 'timestamp-millis' }, '2020-01-01T00:00:00.000001Z'],
    ['a local time without its offset', { type: 'long', logicalType: 'timestamp-millis' }, '2020-01-01T00:00:00'],
    ['a day that is none', { type: 'int', logicalType: 'date' }, '2021-02-29'],
    ['a lone surrogate', 'string', '\ud800'],
    ['a symbol that is none', { type: 'enum', name: 'E', symbols: ['A'] }, 'B'],
    ['a branch that is none', ['null', 'int', 'long'], { float: 1 }],
    ['a byte too few', { type: 'fixed', name: 'F', size: 3 }, new Uint8Array(2)],
    ['a number beyond float', 'float', 1e39],
  ])('%s', (_name, type, value) => {
    expect(() => codec.encode(1, avscOf(type), { v: value })).toThrow(
      expect.objectContaining({ code: 'MESH_REFINE_INVALID', message: expect.stringContaining('field v') }),
    )
  })
})
