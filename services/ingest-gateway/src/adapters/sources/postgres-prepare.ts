import { MeshError } from '@mesh/shared/core/errors'
import type { PostgresSource } from '@mesh/shared/core/source'
import { databaseName } from '../../core/sources/connector-config.ts'
import type { PreparedDatabase, WantedTable } from '../../core/sources/ports.ts'
import type { TableReport } from '../../core/sources/source-types.ts'
import { type PostgresClient, quoteTable } from './postgres-client.ts'
import { checkCapture, makeCapture, published } from './postgres-publication.ts'

/** Checks what change capture needs, and creates signal table and publication where the mesh is to manage them. */
export async function preparePostgres(
  client: PostgresClient,
  source: PostgresSource,
  wanted: readonly WantedTable[],
): Promise<PreparedDatabase> {
  const problems: MeshError[] = []
  await checkServer(client, source)
  const reports: TableReport[] = []
  const tables: string[] = []
  const facts = await tableFacts(client, wanted)
  for (const { table, stream } of wanted) {
    const fact = facts.get(table)
    const problem = tableProblem(source, table, fact)
    if (problem) problems.push(problem)
    else tables.push(table)
    reports.push({
      table,
      stream,
      replicaIdentity: fact ? (IDENTITIES[fact.identity] ?? fact.identity) : null,
      note: problem?.message ?? noteOf(fact),
    })
  }
  if (tables.length > 0) {
    if (source.publication === 'managed') await makeCapture(client, source, tables)
    else problems.push(...(await checkCapture(client, source, tables)))
  }
  const captured = source.publication === 'managed' ? tables : await published(client, source, tables)
  return { tables: captured, reports, problems, slot: await readSlot(client, source) }
}

async function checkServer(client: PostgresClient, source: PostgresSource): Promise<void> {
  const { rows } = await client.query<{ wal_level: string; can: boolean; who: string }>(
    `select current_setting('wal_level') as wal_level, current_user as who,
       (select rolreplication or rolsuper from pg_roles where rolname = current_user)
         or exists (select from pg_roles where rolname = 'rds_replication' and pg_has_role(current_user, oid, 'member'))
       as can`,
  )
  const place = `sources/${source.name}.yaml`
  const found = rows[0]!
  if (found.wal_level !== 'logical') {
    throw new MeshError('MESH_SOURCE_WAL_LEVEL', `source ${source.name}: wal_level is ${found.wal_level}`, { place })
  }
  if (!found.can) {
    throw new MeshError('MESH_SOURCE_RIGHTS', `source ${source.name}: role ${found.who} lacks REPLICATION`, { place })
  }
}

type TableFact = {
  readonly identity: string
  readonly hasKey: boolean
  readonly readable: boolean
  readonly toast: boolean
}

const IDENTITIES: Readonly<Record<string, string>> = { d: 'default', f: 'full', n: 'nothing', i: 'index' }

async function tableFacts(
  client: PostgresClient,
  wanted: readonly WantedTable[],
): Promise<ReadonlyMap<string, TableFact>> {
  const { rows } = await client.query<{
    name: string
    identity: string
    has_key: boolean
    readable: boolean
    toast: boolean
  }>(
    `select n.nspname || '.' || c.relname as name, c.relreplident as identity,
       exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary) as has_key,
       has_table_privilege(c.oid, 'select') as readable, c.reltoastrelid <> 0 as toast
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and n.nspname || '.' || c.relname = any($1)`,
    [wanted.map(({ table }) => table)],
  )
  return new Map(
    rows.map((row) => [
      row.name,
      { identity: row.identity, hasKey: row.has_key, readable: row.readable, toast: row.toast },
    ]),
  )
}

function tableProblem(source: PostgresSource, table: string, fact: TableFact | undefined): MeshError | null {
  const place = `sources/${source.name}.yaml`
  if (!fact) return new MeshError('MESH_SOURCE_TABLE_UNKNOWN', `source ${source.name} has no table ${table}`, { place })
  if (!fact.hasKey) {
    const text = `${table} has no primary key, so its rows have no identity: ALTER TABLE ${quoteTable(table)} ADD PRIMARY KEY (…)`
    return new MeshError('MESH_SOURCE_TABLE_NO_KEY', text, { place })
  }
  if (fact.identity === 'n') {
    const text = `${table} has REPLICA IDENTITY NOTHING: ALTER TABLE ${quoteTable(table)} REPLICA IDENTITY DEFAULT`
    return new MeshError('MESH_SOURCE_TABLE_NO_KEY', text, { place })
  }
  if (!fact.readable) {
    return new MeshError('MESH_SOURCE_RIGHTS', `${table} cannot be read: GRANT SELECT ON ${quoteTable(table)}`, {
      place,
    })
  }
  return null
}

function noteOf(fact: TableFact | undefined): string | null {
  if (!fact || fact.identity === 'f') return null
  return fact.toast
    ? 'before holds the key only; long values that did not change come as a placeholder (REPLICA IDENTITY FULL has both)'
    : 'before holds the key only (REPLICA IDENTITY FULL has the row)'
}

async function readSlot(client: PostgresClient, source: PostgresSource): Promise<PreparedDatabase['slot']> {
  const { rows } = await client.query<{ active: boolean; wal_status: string | null; lag: string | null }>(
    `select active, wal_status, pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::text as lag
     from pg_replication_slots where slot_name = $1 and database = current_database()`,
    [databaseName(source.name)],
  )
  const slot = rows[0]
  return slot
    ? { active: slot.active, lost: slot.wal_status === 'lost', lagBytes: slot.lag === null ? null : Number(slot.lag) }
    : null
}
