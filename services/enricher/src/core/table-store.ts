import type { HighestSrc } from '@mesh/shared/core/coordinate'

/** A refined record as a table's row: framed Avro, or null for a delete. */
export type TableRow = {
  readonly key: string
  /** `mesh-src`: which output of which raw record it is. */
  readonly src: string
  /** Event time of the record, ms: from then on the row holds. */
  readonly validFromMs: number
  readonly value: Uint8Array | null
}

/** What one batch of the joined topic adds. */
export type TableStep = {
  readonly partition: number
  readonly nextOffset: number
  readonly rows: readonly TableRow[]
  readonly highest: HighestSrc
}

/** A row as of a time; `beyond` when the time lies before the history that is kept, so that it is the oldest known one. */
export type RowAsOf = { readonly row: TableRow | null; readonly beyond: boolean }

/**
 * The rows of one joined topic. With a history it is a versioned table: a row holds from its event time on, a delete is a version
 * too, and of two with the same time the later coordinate holds.
 */
export type TableStore = {
  /** Takes a batch's rows with the position after them: all or nothing. */
  apply(step: TableStep): void
  /** The last row that was written under the key; null when there is none or it was deleted. */
  latest(key: string): TableRow | null
  /** Only with a history. */
  asOf(key: string, atMs: number): RowAsOf
  /** Next offset per partition; a partition that was never read is absent. */
  positions(): ReadonlyMap<number, number>
  highest(): HighestSrc
  /** Registry ids of the schemas that rows were written with. */
  schemaIds(): readonly number[]
  /** When an earlier process last wrote, ms since the epoch; null when none did. */
  savedAtMs(): number | null
  /** Rows held, with every version that is kept. */
  size(): number
  diskBytes(): number
  /** Forgets everything. */
  clear(): void
  close(): void
}

/** Tables in memory grow with their topic; for tests, and the measure of what a store on disk has to do. */
export function createMemoryTableStore(historyMs: number | null): TableStore {
  /** Versions in order of their time; one only without a history. */
  const rows = new Map<string, TableRow[]>()
  const positions = new Map<number, number>()
  let highest: HighestSrc = {}
  let newestMs = Number.NEGATIVE_INFINITY

  function put(row: TableRow): void {
    if (historyMs === null) {
      if (row.value === null) rows.delete(row.key)
      else rows.set(row.key, [row])
      return
    }
    const versions = rows.get(row.key) ?? []
    const before = versions.findLastIndex((version) => version.validFromMs <= row.validFromMs)
    if (versions[before]?.validFromMs !== row.validFromMs) versions.splice(before + 1, 0, row)
    else if (isLater(row.src, versions[before].src)) versions[before] = row
    newestMs = Math.max(newestMs, row.validFromMs)
    const limit = newestMs - historyMs
    const kept = Math.max(
      0,
      versions.findLastIndex((version) => version.validFromMs <= limit),
    )
    rows.set(row.key, versions.slice(kept))
  }

  return {
    apply(step) {
      for (const row of step.rows) put(row)
      positions.set(step.partition, step.nextOffset)
      highest = step.highest
    },
    latest: (key) => existing(rows.get(key)?.at(-1)),
    asOf(key, atMs) {
      const versions = rows.get(key) ?? []
      const found = versions.findLast((version) => version.validFromMs <= atMs)
      const beyond = atMs < newestMs - (historyMs ?? 0)
      return { row: existing(found ?? (beyond ? versions[0] : undefined)), beyond }
    },
    positions: () => positions,
    highest: () => highest,
    schemaIds: () => [],
    savedAtMs: () => null,
    size: () => [...rows.values()].reduce((sum, versions) => sum + versions.length, 0),
    diskBytes: () => 0,
    clear() {
      rows.clear()
      positions.clear()
      highest = {}
      newestMs = Number.NEGATIVE_INFINITY
    },
    close: () => {},
  }
}

const existing = (row: TableRow | undefined): TableRow | null => (row === undefined || row.value === null ? null : row)

/** By the coordinate in their `mesh-src`: offset, then index. */
export function isLater(src: string, than: string): boolean {
  const [offset, index] = placeOf(src)
  const [otherOffset, otherIndex] = placeOf(than)
  return offset > otherOffset || (offset === otherOffset && index >= otherIndex)
}

export function placeOf(src: string): [offset: number, index: number] {
  const parts = src.split(';')
  return [Number(parts[3]), Number(parts[4])]
}
