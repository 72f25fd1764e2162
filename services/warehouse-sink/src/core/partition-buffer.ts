import { addCounts, addHash, type Counts, ZERO_COUNTS } from '@mesh/shared/core/books'
import { advanceHighest, type HighestSrc, isRedelivered } from '@mesh/shared/core/coordinate'
import { parseInstant } from '@mesh/shared/core/instant'
import type { RefinedRow } from '@mesh/shared/schema/port'
import type { LandingStep, LandingTable, LedgerEntry } from './ports.ts'

export type PartitionStart = {
  readonly table: LandingTable
  readonly topicId: string
  readonly partition: number
  /** Where the warehouse stands, null when it has nothing of this partition. */
  readonly entry: LedgerEntry | null
  /** First offset the topic still has. What lies between the ledger and it was lost to retention and is booked as a hole. */
  readonly logStartOffset: number
}

/**
 * Rows and books of one partition since its last cut. Every change happens between two awaits of the caller, so a cut at any
 * moment is consistent: the rows, counts, hash and highest mesh-src of exactly [firstOffset, nextOffset).
 */
export type PartitionBuffer = {
  /** Takes the row at refined `offset`; false when it was taken before (a redelivery: counted, not written). */
  accept(offset: number, row: RefinedRow, bytes: number): boolean
  /** Moves over offsets without records: control and aborted ones. */
  advance(nextOffset: number): void
  nextOffset(): number
  /** True when there is progress that the warehouse does not have. */
  readonly pending: () => boolean
  /** Takes what is pending as one step, or null. The step must be written before anything later: a failed write is fatal. */
  cut(): LandingStep | null
}

export function createPartitionBuffer(start: PartitionStart): PartitionBuffer {
  const { table, topicId, partition } = start
  const highest: HighestSrc = { ...start.entry?.highest }
  let written: number | null = start.entry?.nextOffset ?? null
  let nextOffset = Math.max(written ?? 0, start.logStartOffset)
  let counts: Counts = addCounts(start.entry?.counts ?? ZERO_COUNTS, { hole: nextOffset - (written ?? 0) })
  let hash = start.entry?.hash ?? 0n
  let rows: RefinedRow[] = []
  let bytes = 0
  let minEventTime: number | null = null
  let maxEventTime: number | null = null

  function accept(offset: number, row: RefinedRow, rowBytes: number): boolean {
    nextOffset = offset + 1
    bytes += rowBytes
    if (isRedelivered(highest, row.src)) {
      counts = addCounts(counts, { redelivered: 1 })
      return false
    }
    advanceHighest(highest, row.src)
    counts = addCounts(counts, { ok: 1, outputs: 1 })
    hash = addHash(hash, row.hash)
    const time = parseInstant(row.eventTime)?.epochMs ?? null
    if (time !== null) {
      minEventTime = minEventTime === null ? time : Math.min(minEventTime, time)
      maxEventTime = maxEventTime === null ? time : Math.max(maxEventTime, time)
    }
    rows.push(row)
    return true
  }

  const pending = (): boolean => nextOffset > (written ?? 0)

  function cut(): LandingStep | null {
    if (!pending()) return null
    const entry: LedgerEntry = {
      stream: table.stream,
      version: table.version,
      topicId,
      partition,
      firstOffset: written ?? 0,
      nextOffset,
      counts,
      hash,
      highest: { ...highest },
      bytes,
      minEventTime,
      maxEventTime,
    }
    const step: LandingStep = { table, rows, expected: written, entry }
    written = nextOffset
    rows = []
    bytes = 0
    minEventTime = null
    maxEventTime = null
    return step
  }

  return {
    accept,
    advance(offset) {
      nextOffset = Math.max(nextOffset, offset)
    },
    nextOffset: () => nextOffset,
    pending,
    cut,
  }
}
