import { existsSync } from 'node:fs'
import { DuckDBInstance } from '@duckdb/node-api'
import { MeshError } from '../core/errors.ts'

export type QueryResult = {
  readonly columns: readonly string[]
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

const LOCK_WAIT_MS = 10_000
const LOCK_RETRY_MS = 25

/**
 * One query on a DuckDB warehouse: opens the file read-only, reads, closes. DuckDB files belong to one process at a time, so
 * a writer's flush is waited for, at most 10 s.
 * Values arrive JSON-safe: int64 beyond 2^53, decimals and timestamps as text.
 * @throws MeshError MESH_WAREHOUSE_LOCKED, MESH_WAREHOUSE_QUERY with DuckDB's own sentence.
 */
export async function queryWarehouse(file: string, sql: string): Promise<QueryResult> {
  return runOn(await whenFree(() => DuckDBInstance.create(file, { access_mode: 'READ_ONLY' }), file), sql)
}

/**
 * As `queryWarehouse`, with dbt's file beside it as `gold`. Gold is opened only for a query that speaks of it, and only where there
 * is one: both files are then waited for.
 */
export async function queryWithGold(files: { landing: string; gold: string }, sql: string): Promise<QueryResult> {
  if (!/\bgold\b/i.test(sql) || !existsSync(files.gold)) return queryWarehouse(files.landing, sql)
  const instance = await whenFree(() => DuckDBInstance.create(':memory:'), files.gold)
  await whenFree(() => attachBoth(instance, files), files.gold).catch((error: unknown) => {
    instance.closeSync()
    throw error
  })
  return runOn(instance, sql, 'USE landing')
}

/** Both or none: a file that is taken must not be held while the other is waited for. */
async function attachBoth(instance: DuckDBInstance, files: { landing: string; gold: string }): Promise<void> {
  const connection = await instance.connect()
  const attach = (file: string, name: string): Promise<unknown> =>
    connection.run(`ATTACH IF NOT EXISTS '${file.replaceAll("'", "''")}' AS ${name} (READ_ONLY)`)
  try {
    await attach(files.gold, 'gold')
    try {
      if (existsSync(files.landing)) await attach(files.landing, 'landing')
      else await connection.run("ATTACH ':memory:' AS landing")
    } catch (error) {
      await connection.run('DETACH gold')
      throw error
    }
  } finally {
    connection.closeSync()
  }
}

/** One query without a database file: for reading Parquet by path. */
export async function queryFiles(sql: string): Promise<QueryResult> {
  return runOn(await DuckDBInstance.create(':memory:'), sql)
}

async function runOn(instance: DuckDBInstance, sql: string, before?: string): Promise<QueryResult> {
  try {
    const connection = await instance.connect()
    try {
      if (before !== undefined) await connection.run(before)
      const reader = await connection.runAndReadAll(sql)
      return { columns: reader.columnNames(), rows: reader.getRowObjectsJson() }
    } catch (error) {
      throw new MeshError('MESH_WAREHOUSE_QUERY', 'running the query', { cause: error })
    } finally {
      connection.closeSync()
    }
  } finally {
    instance.closeSync()
  }
}

async function whenFree<T>(open: () => Promise<T>, file: string): Promise<T> {
  const deadline = Date.now() + LOCK_WAIT_MS
  for (;;) {
    try {
      return await open()
    } catch (error) {
      const text = String(error)
      if (!/lock/i.test(text))
        throw new MeshError('MESH_WAREHOUSE_QUERY', `opening the warehouse ${file}`, { cause: error })
      if (Date.now() > deadline)
        throw new MeshError('MESH_WAREHOUSE_LOCKED', `the warehouse stayed locked for ${LOCK_WAIT_MS / 1000} s`, {
          cause: error,
        })
      await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS))
    }
  }
}

/** A cell as text: JSON for what is no text itself, `null` for null. */
export function cellText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value ?? null) ?? 'null')
}
