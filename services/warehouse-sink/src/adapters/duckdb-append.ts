import { type DuckDBConnection, DuckDBDataChunk, type DuckDBType, type DuckDBValue } from '@duckdb/node-api'
import { formatHash } from '@mesh/shared/core/books'
import type { RefinedRow } from '@mesh/shared/schema/port'
import { MESH_COLUMNS } from '../core/landing-table.ts'
import type { LandingTable } from '../core/ports.ts'
import { eventTime, toDuckDb } from './duckdb-types.ts'

/** DuckDB's vector size: the most rows one chunk holds. */
const CHUNK_ROWS = 2048

/** Appends rows in columns, a chunk at a time; the event loop breathes between chunks. */
export async function appendRows(
  connection: DuckDBConnection,
  table: LandingTable,
  rows: readonly RefinedRow[],
): Promise<void> {
  if (rows.length === 0) return
  const appender = await connection.createAppender(table.table)
  try {
    const order = await columnOrder(connection, table)
    const types = order.map((_, i) => appender.columnType(i))
    for (let at = 0; at < rows.length; at += CHUNK_ROWS) {
      appender.appendDataChunk(chunkOf(rows.slice(at, at + CHUNK_ROWS), order, types))
      await new Promise((resolve) => setImmediate(resolve))
    }
    appender.flushSync()
  } finally {
    appender.closeSync()
  }
}

/** How to fill a column of the table from a row; null for a column that the schema no longer has. */
type Fill = ((row: RefinedRow) => DuckDBValue) | null

function chunkOf(rows: readonly RefinedRow[], order: readonly Fill[], types: readonly DuckDBType[]): DuckDBDataChunk {
  const chunk = DuckDBDataChunk.create(types, rows.length)
  order.forEach((fill, i) => {
    chunk.setColumnValues(
      i,
      rows.map((row) => (fill === null ? null : fill(row))),
    )
  })
  return chunk
}

/** The appender wants every column in the table's own order, which is that of its growth. */
async function columnOrder(connection: DuckDBConnection, table: LandingTable): Promise<readonly Fill[]> {
  const fills = new Map<string, Fill>()
  table.columns.forEach(({ name, type }, i) => {
    const convert = toDuckDb(type)
    fills.set(name.toLowerCase(), ({ values }) => {
      const value = values[i]
      return value === null || value === undefined ? null : convert(value)
    })
  })
  const own: readonly ((row: RefinedRow) => DuckDBValue)[] = [
    (row) => row.op,
    (row) => row.key,
    (row) => row.src.lane,
    (row) => row.src.topicId,
    (row) => row.src.partition,
    (row) => BigInt(row.src.offset),
    (row) => row.src.index,
    (row) => BigInt(row.rawOffset),
    (row) => row.eventId,
    (row) => eventTime(row.eventTime),
    (row) => row.schemaId,
    (row) => formatHash(row.hash),
    (row) => row.version,
  ]
  MESH_COLUMNS.forEach(({ name }, i) => {
    fills.set(name, own[i]!)
  })
  const result = await connection.runAndReadAll(
    `SELECT column_name FROM duckdb_columns()
     WHERE database_name = current_database() AND schema_name = 'main' AND table_name = $1 ORDER BY column_index`,
    [table.table],
  )
  return result.getRows().map(([name]) => fills.get((name as string).toLowerCase()) ?? null)
}
