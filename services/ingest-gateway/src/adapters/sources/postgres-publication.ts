import { MeshError } from '@mesh/shared/core/errors'
import type { PostgresSource } from '@mesh/shared/core/source'
import { databaseName } from '../../core/sources/connector-config.ts'
import { type PostgresClient, quoteName, quoteTable } from './postgres-client.ts'

const SIGNAL_COLUMNS = '(id text primary key, type text not null, data text)'

/** Creates the signal table, and creates or extends the publication. */
export async function makeCapture(
  client: PostgresClient,
  source: PostgresSource,
  tables: readonly string[],
): Promise<void> {
  const schema = quoteName(source.signalSchema)
  if (!(await hasTable(client, signalTable(source)))) {
    await client.query(`create schema if not exists ${schema}`)
    // Debezium reads its three columns by position: there must be no more.
    await client.query(`create table if not exists ${schema}.signal ${SIGNAL_COLUMNS}`)
  }
  const statement = await missingStatement(client, source, tables)
  if (statement !== null) await client.query(statement.sql)
}

/** What the publication and the signal table that a DBA looks after still lack, as statements. */
export async function checkCapture(
  client: PostgresClient,
  source: PostgresSource,
  tables: readonly string[],
): Promise<MeshError[]> {
  const place = `sources/${source.name}.yaml`
  const problems: MeshError[] = []
  const lacks = (what: string, sql: string): MeshError =>
    new MeshError('MESH_SOURCE_PUBLICATION', `source ${source.name}: ${what}: ${sql}`, { place })
  if (!(await hasTable(client, signalTable(source)))) {
    const schema = quoteName(source.signalSchema)
    const { rows } = await client.query<{ who: string }>('select current_user as who')
    const who = quoteName(rows[0]!.who)
    const made = `CREATE SCHEMA IF NOT EXISTS ${schema}; CREATE TABLE ${schema}.signal ${SIGNAL_COLUMNS}`
    const granted = `GRANT USAGE ON SCHEMA ${schema} TO ${who}; GRANT SELECT, INSERT, UPDATE, DELETE ON ${schema}.signal TO ${who}`
    problems.push(lacks('there is no signal table', `${made}; ${granted}`))
  }
  const missing = await missingStatement(client, source, tables)
  if (missing !== null) problems.push(lacks(`the publication lacks ${missing.tables.join(', ')}`, missing.sql))
  return problems
}

/** A table is captured when its changes are published: those of before would be a hole between its snapshot and its changes. */
export async function published(
  client: PostgresClient,
  source: PostgresSource,
  tables: readonly string[],
): Promise<readonly string[]> {
  const found = await readPublication(client, source)
  const isIn = (table: string): boolean => found !== null && (found.everything || found.tables.includes(table))
  return isIn(signalTable(source)) ? tables.filter(isIn) : []
}

const signalTable = ({ signalSchema }: PostgresSource): string => `${signalSchema}.signal`

async function hasTable(client: PostgresClient, table: string): Promise<boolean> {
  const { rows } = await client.query<{ found: boolean }>('select to_regclass($1) is not null as found', [
    quoteTable(table),
  ])
  return rows[0]!.found
}

type Publication = { readonly everything: boolean; readonly tables: readonly string[] }

async function readPublication(client: PostgresClient, source: PostgresSource): Promise<Publication | null> {
  const { rows } = await client.query<Publication>(
    `select p.puballtables as everything,
       coalesce((select array_agg(t.schemaname || '.' || t.tablename) from pg_publication_tables t
                 where t.pubname = p.pubname), '{}')::text[] as tables
     from pg_publication p where p.pubname = $1`,
    [databaseName(source.name)],
  )
  return rows[0] ?? null
}

/** Null when the publication has the tables and the signal table. */
async function missingStatement(
  client: PostgresClient,
  source: PostgresSource,
  tables: readonly string[],
): Promise<{ readonly tables: readonly string[]; readonly sql: string } | null> {
  const found = await readPublication(client, source)
  const needed = [...tables, signalTable(source)]
  const missing = needed.filter((table) => !found?.everything && !found?.tables.includes(table))
  if (found && missing.length === 0) return null
  const name = databaseName(source.name)
  const list = missing.map(quoteTable).join(', ')
  const sql = found
    ? `ALTER PUBLICATION ${name} ADD TABLE ${list}`
    : `CREATE PUBLICATION ${name} FOR TABLE ${list} WITH (publish_via_partition_root = true)`
  return { tables: missing, sql }
}
