import { MeshError } from '@mesh/shared/core/errors'

/** A column as SQL sees it; `type` in the warehouse's own spelling. */
export type SqlColumn = { readonly name: string; readonly type: string }
export type TableChange =
  | { readonly kind: 'add'; readonly column: SqlColumn }
  | { readonly kind: 'widen'; readonly column: SqlColumn }

/**
 * What turns an existing table into one that holds `wanted`. A column that left the schema stays, null from then on. Widens only
 * where every old value keeps its exact value: those are Avro's own promotions.
 * @throws MeshError MESH_WAREHOUSE_SCHEMA
 */
export function tableChanges(
  table: string,
  existing: readonly SqlColumn[],
  wanted: readonly SqlColumn[],
): readonly TableChange[] {
  const present = new Map(existing.map((column) => [column.name.toLowerCase(), column]))
  const changes: TableChange[] = []
  for (const column of wanted) {
    const old = present.get(column.name.toLowerCase())
    if (old === undefined) changes.push({ kind: 'add', column })
    else if (old.type === column.type) continue
    else if (isLossless(old.type, column.type)) changes.push({ kind: 'widen', column })
    else {
      throw new MeshError(
        'MESH_WAREHOUSE_SCHEMA',
        `column ${column.name} of ${table} is ${old.type} and cannot become ${column.type} without loss`,
      )
    }
  }
  return changes
}

const WIDENINGS: Readonly<Record<string, readonly string[]>> = {
  INTEGER: ['BIGINT', 'DOUBLE'],
  FLOAT: ['DOUBLE'],
  UUID: ['VARCHAR'],
}

function isLossless(from: string, to: string): boolean {
  if (WIDENINGS[from]?.includes(to)) return true
  const [a, b] = [decimal(from), decimal(to)]
  return a !== null && b !== null && b.scale >= a.scale && b.precision - b.scale >= a.precision - a.scale
}

function decimal(type: string): { precision: number; scale: number } | null {
  const match = /^DECIMAL\((\d+),(\d+)\)$/.exec(type)
  return match ? { precision: Number(match[1]), scale: Number(match[2]) } : null
}
