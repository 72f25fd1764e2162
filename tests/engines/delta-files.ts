import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

type Action = { readonly add?: { readonly path: string }; readonly remove?: { readonly path: string } }

/**
 * The Parquet files of a Delta table's newest version, as DuckDB reads them: what its log has added, less what it has removed. For
 * tables of fewer commits than Delta's first checkpoint (10), without deletion vectors.
 */
export function deltaFiles(table: string): string[] {
  const log = join(table, '_delta_log')
  const commits = readdirSync(log).filter((name) => /^\d{20}\.json$/.test(name))
  const files = new Set<string>()
  for (const commit of commits.toSorted()) {
    for (const line of readFileSync(join(log, commit), 'utf8').trim().split('\n')) {
      const { add, remove } = JSON.parse(line) as Action
      if (add) files.add(join(table, decodeURIComponent(add.path)))
      if (remove) files.delete(join(table, decodeURIComponent(remove.path)))
    }
  }
  return [...files]
}
