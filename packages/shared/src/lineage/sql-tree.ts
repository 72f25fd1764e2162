import { DuckDBInstance } from '@duckdb/node-api'
import type { SqlTree } from './select-columns.ts'

/** Select statements as trees, by DuckDB's own parser: nothing is run, no file is opened. Null for what it cannot parse. */
export async function parseSelects(statements: readonly string[]): Promise<(SqlTree | null)[]> {
  const instance = await DuckDBInstance.create(':memory:')
  try {
    const connection = await instance.connect()
    const trees: (SqlTree | null)[] = []
    for (const sql of statements) {
      const reader = await connection.runAndReadAll(
        'SELECT json_serialize_sql($sql::VARCHAR, skip_null := true, skip_empty := true) AS tree',
        { sql },
      )
      const text = reader.getRowObjectsJson()[0]!['tree'] as string
      const parsed = JSON.parse(text) as { error: boolean; statements?: { node: SqlTree }[] }
      trees.push(parsed.error ? null : (parsed.statements?.[0]?.node ?? null))
    }
    connection.closeSync()
    return trees
  } finally {
    instance.closeSync()
  }
}
