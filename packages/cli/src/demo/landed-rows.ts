import { queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import type { MeshAccess } from '../mesh-access.ts'
import { waitFor } from '../wait-for.ts'
import type { SourceShown } from './source-shown.ts'

export type Expected = Pick<SourceShown, 'stream' | 'from' | 'expected'> & {
  /** Of the warehouse; in upsert mode it has one row for each key. */
  readonly table: string
  /** SQL condition on the row that is shown; default the newest one. */
  readonly shown?: string
}

/** Waits until what a source holds has landed, and reads one of its rows back. */
export async function showLanded(
  mesh: Pick<MeshAccess, 'warehouseFile'>,
  { table, shown, ...expected }: Expected,
  timeoutMs: number,
): Promise<SourceShown> {
  let found = 0
  await waitFor(async () => ((found = await countRows(mesh, table)) >= expected.expected ? true : null), {
    what: `${expected.expected} rows of ${expected.stream} in the warehouse`,
    timeoutMs,
    everyMs: 500,
    progress: () => `${found} rows`,
  })
  const where = shown === undefined ? 'order by _event_time desc' : `where ${shown}`
  const { rows } = await queryWarehouse(mesh.warehouseFile, `select * from ${table} ${where} limit 1`)
  return { ...expected, found, row: rows[0] ?? null }
}

/** 0 while there is no table yet. */
async function countRows(mesh: Pick<MeshAccess, 'warehouseFile'>, table: string): Promise<number> {
  const result = await queryWarehouse(mesh.warehouseFile, `select count(*) as n from ${table}`).catch(() => null)
  return Number(result?.rows[0]?.['n'] ?? 0)
}
