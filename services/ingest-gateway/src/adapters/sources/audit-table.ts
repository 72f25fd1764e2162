import { MeshError } from '@mesh/shared/core/errors'
import { type AuditColumn, columnSql, isComparable } from '../../core/sources/audit-columns.ts'
import { type AuditPoint, BUCKETS, type BucketSum } from '../../core/sources/audit-fold.ts'
import { type PostgresClient, quoteName, quoteTable } from './postgres-client.ts'

export type TableShape = {
  /** Compared, in order of their names. */
  readonly columns: readonly AuditColumn[]
  readonly key: readonly AuditColumn[]
  /** Names of columns whose type has no common text. */
  readonly uncompared: readonly string[]
}

/** Opens a snapshot of the database; everything that is read until the transaction ends is as of it. */
export async function openPoint(client: PostgresClient): Promise<AuditPoint> {
  await client.query('begin transaction isolation level repeatable read read only')
  const { rows } = await client.query<{ snapshot: string; at: string }>(
    'select pg_current_snapshot()::text as snapshot, (extract(epoch from clock_timestamp()) * 1000)::bigint::text as at',
  )
  const [xmin = '0', xmax = '0', list = ''] = rows[0]!.snapshot.split(':')
  const running = list === '' ? [] : list.split(',').map(BigInt)
  return { xmin: BigInt(xmin), xmax: BigInt(xmax), running: new Set(running), atMs: Number(rows[0]!.at) }
}

/** Columns and primary key of a table. @throws MeshError MESH_AUDIT_UNAVAILABLE where its key has no common text. */
export async function readShape(client: PostgresClient, table: string): Promise<TableShape> {
  const { rows } = await client.query<{ name: string; type: string; place: number | null }>(
    `select a.attname as name,
       case t.typtype when 'e' then 'enum' when 'r' then 'range' else t.typname end as type,
       array_position(i.indkey::int2[], a.attnum) as place
     from pg_attribute a join pg_type t on t.oid = a.atttypid
     left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
     where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped
     order by a.attname collate "C"`,
    [quoteTable(table)],
  )
  const all = rows.map(({ name, type, place }): AuditColumn => ({ name, type, keyPlace: place }))
  const key = all.filter((column) => column.keyPlace !== null).sort((a, b) => a.keyPlace! - b.keyPlace!)
  const strange = key.find((column) => !KEY_TYPES.includes(column.type))
  if (key.length === 0 || strange) {
    const why = strange ? `its key column ${strange.name} is of type ${strange.type}` : 'it has no primary key'
    throw new MeshError('MESH_AUDIT_UNAVAILABLE', `${table} cannot be audited: ${why}`)
  }
  return {
    columns: all.filter(isComparable),
    key,
    uncompared: all.filter((column) => !isComparable(column)).map(({ name }) => name),
  }
}

const NUMBERS: readonly string[] = ['int2', 'int4', 'int8', 'bool']
const KEY_TYPES: readonly string[] = [...NUMBERS, 'text', 'varchar', 'uuid', 'enum', 'citext', 'name']

/** SQL of the key text, as the connector's transform makes it. */
export function keySql(key: readonly AuditColumn[]): string {
  const [only] = key
  if (key.length === 1 && only) return `${quoteName(only.name)}::text`
  const parts = key.map(({ name, type }) =>
    NUMBERS.includes(type) ? `${quoteName(name)}::text` : `to_json(${quoteName(name)}::text)::text`,
  )
  return `'[' || ${parts.join(" || ',' || ")} || ']'`
}

export async function tableSums(
  client: PostgresClient,
  table: string,
  shape: TableShape,
): Promise<ReadonlyMap<number, BucketSum>> {
  const { rows } = await client.query<{ bucket: number; rows: string; sum: string }>(
    `select ${bucketSql(shape.key)} as bucket, count(*)::text as rows,
       sum(('x' || substr(${digestSql(shape)}, 1, 15))::bit(60)::bigint)::text as sum
     from ${quoteTable(table)} group by 1`,
  )
  return new Map(rows.map(({ bucket, rows: count, sum }) => [bucket, { rows: Number(count), sum: BigInt(sum) }]))
}

/** Key and digest of the rows of some buckets. */
export async function tableDigests(
  client: PostgresClient,
  table: string,
  shape: TableShape,
  buckets: readonly number[],
): Promise<ReadonlyMap<string, string>> {
  const { rows } = await client.query<{ key: string; digest: string }>(
    `select ${keySql(shape.key)} as key, ${digestSql(shape)} as digest
     from ${quoteTable(table)} where ${bucketSql(shape.key)} = any($1)`,
    [buckets],
  )
  return new Map(rows.map(({ key, digest }) => [key, digest]))
}

const bucketSql = (key: readonly AuditColumn[]): string =>
  `(('x' || substr(md5(${keySql(key)}), 1, 4))::bit(16)::int % ${BUCKETS})`

function digestSql({ columns }: TableShape): string {
  const texts = columns.map((column) => columnSql(column, quoteName(column.name)))
  return `md5(${texts.join(" || e'\\x1f' || ")})`
}

/** A condition that names rows by their keys, for an incremental snapshot. */
export function keyCondition(key: readonly AuditColumn[], keys: readonly string[]): string {
  const list = keys.map((text) => `'${text.replaceAll("'", "''")}'`).join(', ')
  return `${keySql(key)} in (${list})`
}

/** Writes a mark into the database's log and returns its place there. Nothing of it stays in the database. */
export async function writeMark(client: PostgresClient, id: string): Promise<bigint> {
  const { rows } = await client.query<{ lsn: string }>(
    "select (pg_logical_emit_message(false, 'mesh.audit', $1::text) - '0/0'::pg_lsn)::text as lsn",
    [id],
  )
  return BigInt(rows[0]!.lsn)
}
