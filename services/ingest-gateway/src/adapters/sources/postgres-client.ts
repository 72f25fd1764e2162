import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import type { PostgresSource } from '@mesh/shared/core/source'
import pg from 'pg'
import { readTlsTexts } from '../source-text.ts'
import { readReference } from './read-reference.ts'

export type PostgresClient = pg.Client

const CONNECT_TIMEOUT_MS = 5000
const STATEMENT_TIMEOUT_MS = 60_000

/**
 * Runs with one connection to a source's database and closes it.
 * @throws MeshError MESH_SOURCE_UNREACHABLE, MESH_SOURCE_AUTH, MESH_SOURCE_RIGHTS, MESH_SECRET_MISSING
 */
export async function withPostgres<T>(
  source: PostgresSource,
  work: (client: PostgresClient) => Promise<T>,
  statementTimeoutMs: number = STATEMENT_TIMEOUT_MS,
): Promise<T> {
  const place = `sources/${source.name}.yaml`
  let client: PostgresClient | null = null
  try {
    client = await connect(source, statementTimeoutMs)
    return await work(client)
  } catch (error) {
    throw isMeshError(error) ? error : told(source, error, place)
  } finally {
    await client?.end().catch(() => undefined)
  }
}

async function connect(source: PostgresSource, statementTimeoutMs: number): Promise<PostgresClient> {
  const [host, port, database, user] = await Promise.all(
    [source.host, source.port, source.database, source.user].map((text) => readReference(text)),
  )
  const password = source.password === null ? undefined : await readReference(source.password)
  const { ca, ...certificate } = await readTlsTexts(source, readReference)
  const trusted = ca === undefined ? {} : { ca }
  const open = async (ssl: pg.ClientConfig['ssl']): Promise<PostgresClient> => {
    const client = new pg.Client({
      host,
      port: Number(port),
      database,
      user,
      password,
      ssl,
      application_name: 'mesh-ingest-gateway',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: statementTimeoutMs,
    })
    // A connection that breaks while idle is told by the next query.
    client.on('error', () => undefined)
    try {
      await client.connect()
      return client
    } catch (error) {
      await client.end().catch(() => undefined)
      throw error
    }
  }
  switch (source.ssl) {
    case 'disable':
      return open(false)
    case 'prefer':
      return open({ rejectUnauthorized: false }).catch((error: unknown) => {
        if (error instanceof Error && error.message.includes('does not support SSL')) return open(false)
        throw error
      })
    case 'require':
      return open({ ...certificate, rejectUnauthorized: false })
    case 'verify-ca':
      return open({ ...trusted, ...certificate, rejectUnauthorized: true, checkServerIdentity: () => undefined })
    case 'verify-full':
      return open({ ...trusted, ...certificate, rejectUnauthorized: true })
  }
}

const AUTH: readonly string[] = ['28P01', '28000', '3D000']
const RIGHTS = '42501'

/** PostgreSQL's own words, which hold no secret; class 08 and what has no code is the way to the server. */
function told(source: PostgresSource, error: unknown, place: string): MeshError {
  const { code = '', message = String(error) } = error as { code?: string; message?: string }
  const what = `source ${source.name}: ${message || code}`
  if (AUTH.includes(code)) return new MeshError('MESH_SOURCE_AUTH', what, { place, cause: error })
  if (code === RIGHTS) return new MeshError('MESH_SOURCE_RIGHTS', what, { place, cause: error })
  return new MeshError('MESH_SOURCE_UNREACHABLE', what, { place, cause: error })
}

/** `schema.table` as SQL has it. */
export function quoteTable(table: string): string {
  const dot = table.indexOf('.')
  return `${quoteName(table.slice(0, dot))}.${quoteName(table.slice(dot + 1))}`
}

export const quoteName = (name: string): string => `"${name.replaceAll('"', '""')}"`
