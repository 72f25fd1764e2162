import type { Entry } from './entry.ts'

export type FlushLimits = {
  /** Of one partition. */
  readonly maxRows: number
  readonly maxBytes: number
  /** Age of the oldest entry held, ms. */
  readonly maxAgeMs: number
}

export type CutReason = 'rows' | 'bytes' | 'age' | 'memory' | 'schema' | 'closing'

/** Entries of [firstOffset, nextOffset) of one partition; offsets without an entry are control or aborted records. */
export type ChainBuffer = {
  readonly firstOffset: () => number
  readonly nextOffset: () => number
  readonly entries: () => readonly Entry[]
  readonly bytes: () => number
  add(entry: Entry, now: number): void
  /** Moves over offsets without records. */
  advance(nextOffset: number): void
  /** Everything below `offset` is in the chain. An offset above `nextOffset` makes the buffer begin there. */
  drop(offset: number): void
  due(limits: FlushLimits, now: number): CutReason | null
}

export function createChainBuffer(position: number): ChainBuffer {
  let firstOffset = position
  let nextOffset = position
  let entries: Entry[] = []
  let bytes = 0
  let since = 0
  return {
    firstOffset: () => firstOffset,
    nextOffset: () => nextOffset,
    entries: () => entries,
    bytes: () => bytes,
    add(entry, now) {
      if (entries.length === 0) since = now
      entries.push(entry)
      bytes += entry.bytes
      nextOffset = entry.offset + 1
    },
    advance(offset) {
      nextOffset = Math.max(nextOffset, offset)
    },
    drop(offset) {
      entries = entries.filter((entry) => entry.offset >= offset)
      bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0)
      firstOffset = offset
      nextOffset = Math.max(nextOffset, offset)
    },
    due(limits, now) {
      if (entries.length === 0) return null
      if (entries.length >= limits.maxRows) return 'rows'
      if (bytes >= limits.maxBytes) return 'bytes'
      return now - since >= limits.maxAgeMs ? 'age' : null
    },
  }
}
