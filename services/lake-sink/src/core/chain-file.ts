import {
  addCounts,
  addHash,
  type Counts,
  formatHash,
  type HashSum,
  parseHash,
  ZERO_COUNTS,
} from '@mesh/shared/core/books'
import { advanceHighest, type HighestSrc, isRedelivered } from '@mesh/shared/core/coordinate'
import { type ChainFooter, type ChainLink, formatChainFooter } from '@mesh/shared/lake/chain'
import { type ChainId, chainKey } from '@mesh/shared/lake/chain-names'
import { writeParquet } from '@mesh/shared/lake/parquet'
import type { ParquetColumn } from '@mesh/shared/lake/parquet-values'
import type { Entry } from './entry.ts'

/** Cumulative books of a chain up to the offset at which its next object begins. */
export type ChainBooks = { readonly counts: Counts; readonly hash: HashSum; readonly highest: HighestSrc }

export type ChainFile = { readonly link: ChainLink; readonly content: Uint8Array }

export type Range = { readonly firstOffset: number; readonly nextOffset: number }

/** The books that an object's footer closes with; those of an empty chain without one. */
export function booksAfter(footer: ChainFooter | null): ChainBooks {
  if (!footer) return { counts: ZERO_COUNTS, hash: 0n, highest: {} }
  return { counts: footer.counts, hash: parseHash(footer.hash), highest: footer.highest }
}

/**
 * The object of a range. Which entries are redelivered is decided here, from the books the range begins with: so the same
 * entries after another writer's object give the right file again.
 */
export function buildFile(
  id: ChainId,
  range: Range,
  { entries, columns, books }: { entries: readonly Entry[]; columns: readonly ParquetColumn[]; books: ChainBooks },
): ChainFile {
  const highest: HighestSrc = { ...books.highest }
  const rows: (readonly unknown[])[] = []
  let hash = books.hash
  let redelivered = 0
  let minEventTime: number | null = null
  let maxEventTime: number | null = null
  let maxTimestamp: number | null = null
  for (const entry of entries) {
    maxTimestamp = Math.max(maxTimestamp ?? entry.timestamp, entry.timestamp)
    if (entry.src && isRedelivered(highest, entry.src)) {
      redelivered++
      continue
    }
    if (entry.src) advanceHighest(highest, entry.src)
    rows.push(entry.row)
    hash = addHash(hash, entry.hash)
    if (entry.eventTime === null) continue
    minEventTime = Math.min(minEventTime ?? entry.eventTime, entry.eventTime)
    maxEventTime = Math.max(maxEventTime ?? entry.eventTime, entry.eventTime)
  }
  const outputs = id.layer === 'silver' ? rows.length : 0
  const counts = addCounts(books.counts, { ok: rows.length, outputs, redelivered })
  const own = { rows: rows.length, minEventTime, maxEventTime, maxTimestamp }
  const footer: ChainFooter = { ...id, ...range, kind: 'records', ...own, counts, hash: formatHash(hash), highest }
  return fileOf(footer, columns, rows)
}

/** The empty object that books a range which retention took before it was read. */
export function buildHole(
  id: ChainId,
  range: Range,
  { columns, books }: { columns: readonly ParquetColumn[]; books: ChainBooks },
): ChainFile {
  const counts = addCounts(books.counts, { hole: range.nextOffset - range.firstOffset })
  const own = { rows: 0, minEventTime: null, maxEventTime: null, maxTimestamp: null }
  const { highest } = books
  const footer: ChainFooter = { ...id, ...range, kind: 'hole', ...own, counts, hash: formatHash(books.hash), highest }
  return fileOf(footer, columns, [])
}

function fileOf(
  footer: ChainFooter,
  columns: readonly ParquetColumn[],
  rows: readonly (readonly unknown[])[],
): ChainFile {
  const content = writeParquet({ columns, rows, keyValues: formatChainFooter(footer) })
  return { link: { key: chainKey(footer, footer.firstOffset), bytes: content.byteLength, footer }, content }
}
