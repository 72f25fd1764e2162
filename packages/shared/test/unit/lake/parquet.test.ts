import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, describe, expect, it } from 'vitest'
import { parseFooter, readColumns, readFooter, readParquetRows, writeParquet } from '../../../src/lake/parquet.ts'
import type { ParquetColumn, ParquetType } from '../../../src/lake/parquet-values.ts'
import { createMemoryObjectStore } from '../../../src/testing/memory-object-store.ts'
import { CASES } from './parquet-cases.ts'

const SQL_TYPE: Record<string, string> = {
  bytes: 'blob',
  millis: 'timestamptz',
  string: 'varchar',
  uuid: 'varchar',
}

const duckdb = await DuckDBInstance.create()
afterAll(() => duckdb.closeSync())

async function queryFile(
  bytes: Uint8Array,
  sql: string,
  values: Record<string, string> = {},
): Promise<Record<string, unknown>[]> {
  const folder = await mkdtemp(path.join(tmpdir(), 'mesh-parquet-'))
  const connection = await duckdb.connect()
  try {
    await writeFile(path.join(folder, 'file.parquet'), bytes)
    await connection.run("set timezone = 'UTC'")
    const reader = await connection.runAndReadAll(
      sql.replaceAll('$file', `'${path.join(folder, 'file.parquet')}'`),
      values,
    )
    return reader.getRowObjects()
  } finally {
    connection.closeSync()
    await rm(folder, { recursive: true, force: true })
  }
}

describe('writeParquet', () => {
  for (const [type, cases] of CASES) {
    const name = type.kind === 'decimal' ? `decimal(${type.precision},${type.scale})` : type.kind
    // Repeated, so that a dictionary pays off and is taken where one is allowed.
    const values = [...cases.map(([value]) => value), null]
    const repeated = Array.from({ length: 40 }, () => values).flat()
    const columns: ParquetColumn[] = [{ name: 'v', type, nullable: true }]

    it(`keeps every ${name}, and null apart, for our reader and for DuckDB`, async () => {
      for (const list of [values, repeated]) {
        const bytes = writeParquet({ columns, rows: list.map((value) => [value]), keyValues: {} })
        const back = await readParquetRows(bytes)
        expect(back.map((row) => row['v'])).toEqual(list)
        // Written again with the columns that the file says it has, it is the same file.
        const again = { columns: readColumns(bytes), rows: back.map((row) => [row['v']]), keyValues: {} }
        expect(Buffer.compare(writeParquet(again), bytes)).toBe(0)
        const texts = await queryFile(bytes, 'select v::varchar as v from read_parquet($file)')
        const expected = [...cases.map(([, text]) => text), null]
        expect(texts.map((row) => row['v'])).toEqual(list.map((_, i) => expected[i % expected.length]))
      }
    })

    it(`lets DuckDB find every ${name} by a pushed-down filter`, async () => {
      const bytes = writeParquet({ columns, rows: repeated.map((value) => [value]), keyValues: {} })
      for (const [, text] of cases) {
        const typed = name === 'json' ? '$text' : `cast($text as ${SQL_TYPE[type.kind] ?? name})`
        const found = await queryFile(bytes, `select count(*) as n from read_parquet($file) where v = ${typed}`, {
          text,
        })
        expect(Number(found[0]!['n'])).toBeGreaterThanOrEqual(40)
      }
    })
  }

  it('shows DuckDB the logical types', async () => {
    const columns: ParquetColumn[] = CASES.map(([type], i) => ({ name: `c${i}`, type, nullable: true }))
    const bytes = writeParquet({ columns, rows: [columns.map(() => null)], keyValues: {} })
    const shown = await queryFile(bytes, 'describe select * from read_parquet($file)')
    expect(shown.map((row) => row['column_type'])).toEqual([
      'BOOLEAN',
      'INTEGER',
      'BIGINT',
      'DOUBLE',
      'FLOAT',
      'VARCHAR',
      'BLOB',
      'DATE',
      'TIME',
      'TIMESTAMP WITH TIME ZONE',
      'TIMESTAMP',
      'VARCHAR',
      'VARCHAR',
      'DECIMAL(9,2)',
      'DECIMAL(18,0)',
      'DECIMAL(38,10)',
      'TIMESTAMP WITH TIME ZONE',
    ])
  })

  it('keeps headers in order, with repeated names and null apart from empty', async () => {
    const headers = [
      { name: 'a', value: new Uint8Array(0) },
      { name: 'b', value: null },
      { name: 'a', value: Uint8Array.of(0, 255) },
      { name: '', value: Buffer.from('😀') },
    ]
    const columns: ParquetColumn[] = [
      { name: 'headers', type: { kind: 'headers' }, nullable: false },
      { name: 'n', type: { kind: 'int' }, nullable: false },
    ]
    const bytes = writeParquet({
      columns,
      rows: [
        [headers, 1],
        [[], 2],
        [[headers[1]], 3],
      ],
      keyValues: {},
    })
    const back = await readParquetRows(bytes)
    const plain = (list: unknown): unknown[] =>
      (list as typeof headers).map(({ name, value }) => [name, value && Buffer.from(value).toString('hex')])
    expect(back.map((row) => plain(row['headers']))).toEqual([plain(headers), [], [['b', null]]])
    const seen = await queryFile(bytes, 'select unnest(headers) as h from read_parquet($file) where n = 1')
    expect(seen.map((row) => JSON.stringify(row['h'], (_, v: unknown) => v))).toHaveLength(4)
    const count = await queryFile(
      bytes,
      "select count(*) as n from (select unnest(headers) as h, n from read_parquet($file)) where n = 1 and h.value is null and h.name = 'b'",
    )
    expect(count[0]!['n']).toBe(1n)
  })

  it('keeps a byte order mark at the start of a text', async () => {
    const columns: ParquetColumn[] = [{ name: 'v', type: { kind: 'string' }, nullable: false }]
    const bytes = writeParquet({ columns, rows: [['\uFEFFtext']], keyValues: {} })
    expect(await readParquetRows(bytes)).toEqual([{ v: '\uFEFFtext' }])
    expect(await queryFile(bytes, 'select length(v) as n from read_parquet($file)')).toEqual([{ n: 5n }])
  })

  it('narrows to the asked columns', async () => {
    const columns: ParquetColumn[] = ['a', 'b', 'c'].map((name) => ({ name, type: { kind: 'int' }, nullable: false }))
    const bytes = writeParquet({ columns, rows: [[1, 2, 3]], keyValues: {} })
    expect(await readParquetRows(bytes, ['c', 'a'])).toEqual([{ a: 1, c: 3 }])
  })

  it('gives the same bytes for the same input', () => {
    const columns: ParquetColumn[] = [{ name: 'v', type: { kind: 'string' }, nullable: true }]
    const file = { columns, rows: Array.from({ length: 5_000 }, (_, i) => [`value ${i % 7}`]), keyValues: { a: 'b' } }
    expect(Buffer.from(writeParquet(file)).equals(writeParquet(file))).toBe(true)
  })

  it('accepts offsets and fractions that say the same instant, and refuses what it would have to round', () => {
    const write = (type: ParquetType, value: unknown): Uint8Array =>
      writeParquet({ columns: [{ name: 'v', type, nullable: false }], rows: [[value]], keyValues: {} })
    const utc = write({ kind: 'timestamptz' }, '2026-01-01T00:00:00Z')
    expect(Buffer.from(write({ kind: 'timestamptz' }, '2026-01-01T02:00:00.000+02:00')).equals(utc)).toBe(true)
    for (const [type, value] of [
      [{ kind: 'timestamptz' }, '2026-01-01T00:00:00.1234567Z'],
      [{ kind: 'timestamptz' }, '2026-13-01T00:00:00Z'],
      [{ kind: 'date' }, 'yesterday'],
      [{ kind: 'decimal', precision: 5, scale: 1 }, '1.25'],
      [{ kind: 'decimal', precision: 5, scale: 1 }, '1e3'],
    ] as const) {
      expect(() => write(type, value)).toThrow(expect.objectContaining({ code: 'MESH_DECODE_AVRO' }))
    }
  })
})

describe('footers', () => {
  const columns: ParquetColumn[] = [{ name: 'v', type: { kind: 'bytes' }, nullable: false }]

  it('carry key-values, read by ranges without the rows', async () => {
    const store = createMemoryObjectStore()
    const rows = Array.from({ length: 200 }, (_, i) => [Buffer.from(`${Math.sin(i)}`.repeat(100))])
    const bytes = writeParquet({ columns, rows, keyValues: { 'mesh.chain': '{"a":1}', other: '' } })
    await store.create('a/b.parquet', bytes)
    expect(await readFooter(store, 'a/b.parquet')).toEqual({
      rows: 200,
      bytes: bytes.byteLength,
      keyValues: { 'mesh.chain': '{"a":1}', other: '' },
    })
    expect(parseFooter(bytes).rows).toBe(200)
    expect(await readFooter(store, 'a/none.parquet')).toBeNull()
  })

  it('may be larger than the first read', async () => {
    const store = createMemoryObjectStore()
    const long = 'x'.repeat(100_000)
    await store.create('a/b', writeParquet({ columns, rows: [[Buffer.from('x')]], keyValues: { long } }))
    expect((await readFooter(store, 'a/b'))?.keyValues).toEqual({ long })
  })

  it('of a file without rows are readable by us and by DuckDB', async () => {
    const bytes = writeParquet({ columns, rows: [], keyValues: { k: 'v' } })
    expect(parseFooter(bytes)).toEqual({ rows: 0, bytes: bytes.byteLength, keyValues: { k: 'v' } })
    expect(await readParquetRows(bytes)).toEqual([])
    expect(await queryFile(bytes, 'select count(*) as n from read_parquet($file)')).toEqual([{ n: 0n }])
  })

  it('of something else are reported as a broken chain', async () => {
    const store = createMemoryObjectStore()
    await store.create('a/b', Buffer.from('this is not a Parquet file'))
    await expect(readFooter(store, 'a/b')).rejects.toMatchObject({ code: 'MESH_LAKE_CHAIN_BROKEN' })
    await expect(readParquetRows(Buffer.from('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_CHAIN_BROKEN' })
  })
})
