import { DuckDBInstance } from '@duckdb/node-api'
import { MeshError } from '@mesh/shared/core/errors'

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
  return runOn(await open(file), sql)
}

/** One query without a database file: for reading Parquet by path. */
export async function queryFiles(sql: string): Promise<QueryResult> {
  return runOn(await DuckDBInstance.create(':memory:'), sql)
}

async function runOn(instance: DuckDBInstance, sql: string): Promise<QueryResult> {
  try {
    const connection = await instance.connect()
    try {
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

async function open(file: string): Promise<DuckDBInstance> {
  const deadline = Date.now() + LOCK_WAIT_MS
  for (;;) {
    try {
      return await DuckDBInstance.create(file, { access_mode: 'READ_ONLY' })
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
