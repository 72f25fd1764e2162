import { zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { type Compressors, type FileMetaData, parquetMetadata, parquetReadObjects } from 'hyparquet'
import { ByteWriter, ParquetWriter as Writer } from 'hyparquet-writer'
import { MeshError } from '../core/errors.ts'
import type { ObjectStore } from './object-store.ts'
import { columnOf, fromPhysical, type ParquetColumn, schemaElements, toPhysical } from './parquet-values.ts'

export type ParquetFile = {
  readonly columns: readonly ParquetColumn[]
  /** Values in the order of `columns`. */
  readonly rows: readonly (readonly unknown[])[]
  /** Kept in the footer, readable without the rows. */
  readonly keyValues: Readonly<Record<string, string>>
}

export type ParquetFooter = {
  readonly rows: number
  /** Size of the whole file. */
  readonly bytes: number
  readonly keyValues: Readonly<Record<string, string>>
}

const ROWS_PER_GROUP = 100_000
/** Footers are a few kB; one read of this size nearly always holds all of it. */
const FOOTER_BYTES = 32_768
const DECOMPRESSORS: Compressors = { ZSTD: (input) => zstdDecompressSync(input) }

/** A Parquet file, zstd-compressed. The same input gives the same bytes. @throws MeshError MESH_DECODE_AVRO */
export function writeParquet({ columns, rows, keyValues }: ParquetFile): Uint8Array {
  const file = createParquetWriter(columns)
  file.add(rows)
  return file.finish(keyValues)
}

/** A Parquet file in parts: each `add` is a row group (of at most 100,000 rows), encoded and compressed at once. */
export type ParquetWriter = {
  add(rows: ParquetFile['rows']): void
  finish(keyValues: ParquetFile['keyValues']): Uint8Array
}

export function createParquetWriter(columns: readonly ParquetColumn[]): ParquetWriter {
  const writer = new ByteWriter()
  const file = new Writer({
    writer,
    schema: [{ name: 'root', num_children: columns.length }, ...columns.flatMap(schemaElements)],
    codec: 'ZSTD',
    compressors: { ZSTD: (input) => zstdCompressSync(input) },
    createdBy: 'kappa-mesh',
  })
  return {
    add(rows) {
      const columnData = columns.map(({ name, type }, i) => ({
        name,
        data: rows.map((row) => toPhysical(row[i], type)),
        // A dictionary would merge -0 and 0, and costs more than it saves where values seldom repeat.
        ...(['float', 'double', 'bytes', 'json'].includes(type.kind) && { encoding: 'PLAIN' as const }),
        // Bounds of JSON are never truncated: a large document would lie in the footer twice.
        ...(type.kind === 'json' && { statistics: false }),
      }))
      // Only a writer that flushes makes these wait.
      void file.write({ columnData, rowGroupSize: ROWS_PER_GROUP })
    },
    finish(keyValues) {
      file.kvMetadata = Object.entries(keyValues).map(([key, value]) => ({ key, value }))
      void file.finish()
      return new Uint8Array(writer.getBuffer())
    },
  }
}

/** All rows as objects, in the value model they were written from; `columns` narrows them. @throws MeshError MESH_LAKE_CHAIN_BROKEN */
export async function readParquetRows(
  bytes: Uint8Array,
  columns?: readonly string[],
): Promise<Record<string, unknown>[]> {
  const rows: Record<string, unknown>[][] = []
  for await (const group of readRowGroups(bytes, columns)) rows.push(group)
  return rows.flat()
}

/** As readParquetRows, a row group at a time. @throws MeshError MESH_LAKE_CHAIN_BROKEN */
export async function* readRowGroups(
  bytes: Uint8Array,
  columns?: readonly string[],
): AsyncGenerator<Record<string, unknown>[]> {
  const file = exactBuffer(bytes)
  const { elements, metadata } = physical(parseMetadata(bytes))
  const selected = elements.filter(({ name }) => columns === undefined || columns.includes(name))
  let rowStart = 0
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows)
    const rows = await parquetReadObjects({
      file,
      metadata,
      utf8: false,
      compressors: DECOMPRESSORS,
      columns: selected.map(({ name }) => name),
      rowStart,
      rowEnd,
    })
    for (const row of rows) {
      for (const element of selected) {
        const value: unknown = row[element.name]
        row[element.name] = element.num_children ? toHeaders(value) : fromPhysical(value, element)
      }
    }
    yield rows
    rowStart = rowEnd
  }
}

/** The columns that a file was written with. @throws MeshError MESH_LAKE_CHAIN_BROKEN */
export function readColumns(bytes: Uint8Array): readonly ParquetColumn[] {
  return physical(parseMetadata(bytes)).elements.map(columnOf)
}

/**
 * The footer of an object by range reads; null when there is no such object.
 * @throws MeshError MESH_LAKE_CHAIN_BROKEN, MESH_LAKE_UNAVAILABLE
 */
export async function readFooter(store: ObjectStore, key: string): Promise<ParquetFooter | null> {
  const size = await store.size(key)
  if (size === null) return null
  let tail = await store.getRange(key, Math.max(0, size - FOOTER_BYTES), size)
  const length = tail === null ? 0 : footerLength(tail)
  if (length > FOOTER_BYTES && length <= size) tail = await store.getRange(key, size - length, size)
  return footerOf(parseMetadata(tail ?? new Uint8Array(0), key), size)
}

/** Bytes from the footer's begin to the end of the file, as the last 8 bytes say; 0 when there are none. */
function footerLength(tail: Uint8Array): number {
  if (tail.byteLength < 8) return 0
  return new DataView(tail.buffer, tail.byteOffset + tail.byteLength - 8).getUint32(0, true) + 8
}

/** The footer of a whole file in memory. @throws MeshError MESH_LAKE_CHAIN_BROKEN */
export function parseFooter(bytes: Uint8Array): ParquetFooter {
  return footerOf(parseMetadata(bytes), bytes.byteLength)
}

function footerOf(metadata: FileMetaData, bytes: number): ParquetFooter {
  const keyValues: Record<string, string> = {}
  for (const { key, value } of metadata.key_value_metadata ?? []) keyValues[key] = value ?? ''
  return { rows: Number(metadata.num_rows), bytes, keyValues }
}

/**
 * The top-level elements as written, and metadata whose leaves have lost their meaning: the reader's own conversions go through
 * floats and Dates, so values are taken as stored and converted here.
 */
function physical(metadata: FileMetaData): { elements: FileMetaData['schema']; metadata: FileMetaData } {
  const elements: FileMetaData['schema'] = []
  for (let i = 1; i < metadata.schema.length; i++) {
    elements.push(metadata.schema[i]!)
    i += descendants(metadata.schema, i)
  }
  const schema = metadata.schema.map((element) => {
    const { converted_type: _converted, logical_type: _logical, ...leaf } = element
    return element.num_children ? element : leaf
  })
  return { elements, metadata: { ...metadata, schema } }
}

function descendants(schema: FileMetaData['schema'], at: number): number {
  let count = 0
  for (let open = schema[at]!.num_children ?? 0; open > 0; open--) {
    count++
    open += schema[at + count]!.num_children ?? 0
  }
  return count
}

function toHeaders(value: unknown): { name: string; value: Uint8Array | null }[] {
  const list = (value ?? []) as { name: Uint8Array; value?: Uint8Array | null }[]
  return list.map((header) => ({ name: Buffer.from(header.name).toString(), value: header.value ?? null }))
}

function exactBuffer(bytes: Uint8Array): ArrayBuffer {
  const { buffer, byteLength } = bytes
  if (buffer instanceof ArrayBuffer && byteLength === buffer.byteLength) return buffer
  return new Uint8Array(bytes).buffer as ArrayBuffer
}

function parseMetadata(bytes: Uint8Array, place?: string): FileMetaData {
  try {
    return parquetMetadata(bytes, { geoparquet: false })
  } catch (cause) {
    const where = place === undefined ? {} : { place }
    throw new MeshError('MESH_LAKE_CHAIN_BROKEN', 'the object is not a readable Parquet file', { cause, ...where })
  }
}
