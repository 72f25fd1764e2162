import { MeshError } from '@mesh/shared/core/errors'
import { versionTable } from '@mesh/shared/core/topics'
import type { Column } from '@mesh/shared/schema/port'
import type { LandingTable } from './ports.ts'

/**
 * The mesh's own columns, after the typed ones. `_lane` to `_index` are the `mesh-src`; outside lane `main` its offset is a count of
 * releases, and `_raw_offset` the raw record's own. Null in rows from before there was that column.
 */
export const MESH_COLUMNS: readonly Column[] = [
  { name: '_op', type: { kind: 'string' }, nullable: false },
  { name: '_key', type: { kind: 'string' }, nullable: false },
  { name: '_lane', type: { kind: 'string' }, nullable: false },
  { name: '_topic_id', type: { kind: 'string' }, nullable: false },
  { name: '_partition', type: { kind: 'int' }, nullable: false },
  { name: '_offset', type: { kind: 'bigint' }, nullable: false },
  { name: '_index', type: { kind: 'int' }, nullable: false },
  { name: '_raw_offset', type: { kind: 'bigint' }, nullable: true },
  { name: '_event_id', type: { kind: 'string' }, nullable: false },
  { name: '_event_time', type: { kind: 'timestamptz' }, nullable: false },
  { name: '_schema_id', type: { kind: 'int' }, nullable: true },
  { name: '_hash', type: { kind: 'string' }, nullable: false },
  { name: '_version', type: { kind: 'int' }, nullable: false },
]

/** @throws MeshError MESH_WAREHOUSE_SCHEMA when two columns differ only in case: SQL names do not tell them apart. */
export function landingTable(stream: string, version: number, view: string, columns: readonly Column[]): LandingTable {
  const table = versionTable(view, version)
  const seen = new Map<string, string>()
  for (const { name } of [...MESH_COLUMNS, ...columns]) {
    const folded = name.toLowerCase()
    const other = seen.get(folded)
    if (other !== undefined) {
      throw new MeshError('MESH_WAREHOUSE_SCHEMA', `columns ${other} and ${name} of ${table} differ only in case`)
    }
    seen.set(folded, name)
  }
  return { stream, version, view, table, columns }
}
