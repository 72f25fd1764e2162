import { randomUUID } from 'node:crypto'
import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api'
import { type Counts, formatHash, parseHash } from '@mesh/shared/core/books'
import type { HighestSrc } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import type { LandingStep, LandingTable, LandingView, LedgerEntry, Warehouse } from '../core/ports.ts'
import { type SqlColumn, tableChanges } from '../core/schema-growth.ts'
import { appendRows } from './duckdb-append.ts'
import type { DuckDbFile } from './duckdb-file.ts'
import { createTable, literal, quote, SYSTEM_TABLES, sqlColumns, viewDefinition } from './duckdb-sql.ts'

/** Rows, ledger and views in one DuckDB file, held only while a transaction runs: dbt and people have their turns between. */
export function createDuckDbWarehouse(file: DuckDbFile): Warehouse {
  return {
    prepare: (table) =>
      file.transaction(async (connection) => {
        await createSystemTables(connection)
        await prepareTable(connection, table)
      }),
    ledger: (stream, version, partition) =>
      file.transaction(async (connection) => {
        await createSystemTables(connection)
        return readLedger(connection, stream, version, partition)
      }),
    write: (steps) => file.transaction((connection) => writeSteps(connection, steps)),
    project: (view) =>
      file.transaction(async (connection) => {
        await createSystemTables(connection)
        await projectView(connection, view)
      }),
  }
}

async function createSystemTables(connection: DuckDBConnection): Promise<void> {
  for (const sql of SYSTEM_TABLES) await connection.run(sql)
}

async function prepareTable(connection: DuckDBConnection, table: LandingTable): Promise<void> {
  const existing = await columnsOf(connection, table.table)
  const tokens = await select(connection, 'SELECT token FROM _mesh_tables WHERE table_name = $1', [table.table])
  if (existing.length === 0) {
    // The ledger says that rows are in the table; a new one would miss them for ever.
    if (tokens.length > 0) throw replaced(table)
    const token = randomUUID()
    await connection.run(createTable(table))
    await connection.run(`COMMENT ON TABLE ${quote(table.table)} IS ${literal(token)}`)
    await connection.run('INSERT INTO _mesh_tables VALUES ($1, $2)', [table.table, token])
    return
  }
  await requireSameTable(connection, table)
  for (const { kind, column } of tableChanges(table.table, existing, sqlColumns(table))) {
    const change = kind === 'add' ? 'ADD COLUMN' : 'ALTER COLUMN'
    const type = kind === 'add' ? column.type : `SET DATA TYPE ${column.type}`
    await connection.run(`ALTER TABLE ${quote(table.table)} ${change} ${quote(column.name)} ${type}`)
  }
}

async function writeSteps(connection: DuckDBConnection, steps: readonly LandingStep[]): Promise<void> {
  for (const table of new Map(steps.map((step) => [step.table.table, step.table])).values()) {
    await requireSameTable(connection, table)
  }
  for (const step of steps) {
    await moveLedger(connection, step)
    await appendRows(connection, step.table, step.rows)
  }
}

/** Compare-and-set: a writer that does not know where the ledger stands must not add to it. */
async function moveLedger(connection: DuckDBConnection, { expected, entry }: LandingStep): Promise<void> {
  const key = [entry.stream, entry.version, entry.topicId, entry.partition]
  const found = await select(
    connection,
    'SELECT next_offset FROM _mesh_ledger WHERE stream = $1 AND version = $2 AND topic_id = $3 AND partition = $4',
    key,
  )
  const stands = found.length === 0 ? null : Number(found[0]![0])
  if (stands !== expected) {
    throw new MeshError('MESH_WAREHOUSE_LEDGER', `the ledger stands at ${stands}, this writer knows ${expected}`, {
      place: `${entry.stream}/v${entry.version}/${entry.partition}`,
    })
  }
  await connection.run(
    `INSERT INTO _mesh_ledger VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, now())
     ON CONFLICT DO UPDATE SET first_offset = excluded.first_offset, next_offset = excluded.next_offset,
       counts = excluded.counts, hash = excluded.hash, highest = excluded.highest, bytes = excluded.bytes,
       min_event_time_ms = excluded.min_event_time_ms, max_event_time_ms = excluded.max_event_time_ms,
       written_at = excluded.written_at`,
    [
      ...key,
      BigInt(entry.firstOffset),
      BigInt(entry.nextOffset),
      JSON.stringify(entry.counts),
      formatHash(entry.hash),
      JSON.stringify(entry.highest),
      BigInt(entry.bytes),
      entry.minEventTime === null ? null : BigInt(entry.minEventTime),
      entry.maxEventTime === null ? null : BigInt(entry.maxEventTime),
    ],
  )
}

async function readLedger(
  connection: DuckDBConnection,
  stream: string,
  version: number,
  partition: number,
): Promise<LedgerEntry[]> {
  const rows = await select(
    connection,
    `SELECT topic_id, first_offset, next_offset, counts, hash, highest, bytes, min_event_time_ms, max_event_time_ms
     FROM _mesh_ledger WHERE stream = $1 AND version = $2 AND partition = $3`,
    [stream, version, partition],
  )
  const milliseconds = (value: DuckDBValue | undefined): number | null => (value === null ? null : Number(value))
  return rows.map((row) => ({
    stream,
    version,
    topicId: row[0] as string,
    partition,
    firstOffset: Number(row[1]),
    nextOffset: Number(row[2]),
    counts: JSON.parse(row[3] as string) as Counts,
    hash: parseHash(row[4] as string),
    highest: JSON.parse(row[5] as string) as HighestSrc,
    bytes: Number(row[6]),
    minEventTime: milliseconds(row[7]),
    maxEventTime: milliseconds(row[8]),
  }))
}

async function projectView(connection: DuckDBConnection, view: LandingView): Promise<void> {
  const { stream, version, view: name } = view.table
  await prepareTable(connection, view.table)
  const found = await select(connection, 'SELECT epoch, definition, view_name FROM _mesh_views WHERE stream = $1', [
    stream,
  ])
  const definition = viewDefinition(view)
  const current = found[0]
  if (current !== undefined) {
    if (Number(current[0]) > view.epoch) return
    if (Number(current[0]) === view.epoch && current[1] === definition && current[2] === name) return
    if (current[2] !== name) await connection.run(`DROP VIEW IF EXISTS ${quote(current[2] as string)}`)
  }
  await connection.run(`CREATE OR REPLACE VIEW ${quote(name)} AS ${definition}`)
  await connection.run(
    `INSERT INTO _mesh_views VALUES ($1, $2, $3, $4, $5, now())
     ON CONFLICT DO UPDATE SET view_name = excluded.view_name, version = excluded.version, epoch = excluded.epoch,
       definition = excluded.definition, moved_at = excluded.moved_at`,
    [stream, name, version, view.epoch, definition],
  )
}

async function requireSameTable(connection: DuckDBConnection, table: LandingTable): Promise<void> {
  const rows = await select(
    connection,
    `SELECT 1 FROM _mesh_tables m JOIN duckdb_tables() d ON d.table_name = m.table_name AND d.comment = m.token
     WHERE m.table_name = $1 AND d.database_name = current_database() AND d.schema_name = 'main'`,
    [table.table],
  )
  if (rows.length === 0) throw replaced(table)
}

function replaced(table: LandingTable): MeshError {
  return new MeshError('MESH_WAREHOUSE_REPLACED', `table ${table.table} is not the one that the ledger counts`, {
    place: table.table,
  })
}

async function columnsOf(connection: DuckDBConnection, table: string): Promise<SqlColumn[]> {
  const rows = await select(
    connection,
    `SELECT column_name, data_type FROM duckdb_columns()
     WHERE database_name = current_database() AND schema_name = 'main' AND table_name = $1 ORDER BY column_index`,
    [table],
  )
  return rows.map((row) => ({ name: row[0] as string, type: row[1] as string }))
}

async function select(
  connection: DuckDBConnection,
  sql: string,
  values: DuckDBValue[],
): Promise<readonly (readonly DuckDBValue[])[]> {
  return (await connection.runAndReadAll(sql, values)).getRows()
}
