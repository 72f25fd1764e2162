import { MESH_COLUMNS } from '../core/landing-table.ts'
import type { LandingTable, LandingView } from '../core/ports.ts'
import type { SqlColumn } from '../core/schema-growth.ts'
import { sqlType } from './duckdb-types.ts'

export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

/** The mesh's own tables. `_mesh_tables.token` also lies in the table's comment: a table made anew has lost it. */
export const SYSTEM_TABLES: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS _mesh_ledger (
    stream VARCHAR, version INTEGER, topic_id VARCHAR, partition INTEGER,
    first_offset BIGINT NOT NULL, next_offset BIGINT NOT NULL,
    counts JSON NOT NULL, hash VARCHAR NOT NULL, highest JSON NOT NULL,
    bytes BIGINT NOT NULL, min_event_time_ms BIGINT, max_event_time_ms BIGINT, written_at TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (stream, version, topic_id, partition))`,
  'CREATE TABLE IF NOT EXISTS _mesh_tables (table_name VARCHAR PRIMARY KEY, token VARCHAR NOT NULL)',
  `CREATE TABLE IF NOT EXISTS _mesh_views (
    stream VARCHAR PRIMARY KEY, view_name VARCHAR NOT NULL, version INTEGER NOT NULL, epoch INTEGER NOT NULL,
    definition VARCHAR NOT NULL, moved_at TIMESTAMPTZ NOT NULL)`,
]

/** Typed columns are nullable: a delete has none of them, and a column that the schema grew by has no older values. */
export function sqlColumns(table: LandingTable): readonly SqlColumn[] {
  return [...table.columns, ...MESH_COLUMNS].map(({ name, type }) => ({ name, type: sqlType(type) }))
}

export function createTable(table: LandingTable): string {
  const typed = table.columns.map(({ name, type }) => `${quote(name)} ${sqlType(type)}`)
  const own = MESH_COLUMNS.map(
    ({ name, type, nullable }) => `${quote(name)} ${sqlType(type)}${nullable ? '' : ' NOT NULL'}`,
  )
  return `CREATE TABLE ${quote(table.table)} (${[...typed, ...own].join(', ')})`
}

/**
 * What users read. Append: every row that is no tombstone. Upsert: the latest row per key by the order of the source, gone when
 * that is a delete. Columns are named one by one, so the view does not change when the table grows.
 */
export function viewDefinition({ table, mode }: LandingView): string {
  const columns = [...table.columns, ...MESH_COLUMNS].map(({ name }) => quote(name)).join(', ')
  const from = quote(table.table)
  if (mode === 'append') return `SELECT ${columns} FROM ${from} WHERE "_op" = 'upsert'`
  const order = 'coalesce("_raw_offset", "_offset") DESC, "_offset" DESC, "_index" DESC'
  const latest = `row_number() OVER (PARTITION BY "_key" ORDER BY ${order}) AS "_mesh_rank"`
  return `SELECT ${columns} FROM (SELECT ${columns}, ${latest} FROM ${from}) WHERE "_mesh_rank" = 1 AND "_op" = 'upsert'`
}
