import { existsSync } from 'node:fs'
import { isMeshError } from '@mesh/shared/core/errors'
import { queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import { GOLD_QUERIES, type GoldView, goldView } from '../core/gold-view.ts'

export type GoldReader = () => Promise<GoldView>

/**
 * Gold as dbt last left it. A DuckDB file belongs to one process at a time: each query opens it read-only and closes it, and a view is kept
 * for `keepMs`, so any number of pages holds dbt up no more than one. @param file null: no gold is configured
 */
export function createGoldReader(file: string | null, keepMs: number, now: () => number): GoldReader {
  let kept: { readonly atMs: number; readonly view: Promise<GoldView> } | null = null
  return function readGold() {
    if (kept === null || now() - kept.atMs >= keepMs) kept = { atMs: now(), view: readView(file) }
    return kept.view
  }
}

async function readView(file: string | null): Promise<GoldView> {
  if (file === null)
    return { state: 'none', reason: 'This console is not told where gold is: set MESH_GOLD_URL.', tables: null }
  if (!existsSync(file))
    return { state: 'none', reason: 'No run of dbt has ended yet. mesh jobs list says how far they are.', tables: null }
  try {
    // One statement, so that gold is opened once and its parts are of one moment.
    const { rows } = await queryWarehouse(
      file,
      "SELECT table_name FROM information_schema.tables WHERE table_schema = 'main'",
    )
    const present = new Set(rows.map((row) => row['table_name'] as string))
    const parts = Object.entries(GOLD_QUERIES).filter(([, { table }]) => present.has(table))
    if (parts.length === 0)
      return { state: 'none', reason: 'Gold has no table yet that this page shows.', tables: null }
    const columns = parts.map(([name, { sql }]) => `(SELECT to_json(list(q)) FROM (${sql}) AS q) AS ${name}`)
    const read = await queryWarehouse(file, `SELECT ${columns.join(', ')}`)
    return goldView(read.rows[0]!)
  } catch (error) {
    if (isMeshError(error)) return { state: 'busy', reason: error.message, tables: null }
    throw error
  }
}
