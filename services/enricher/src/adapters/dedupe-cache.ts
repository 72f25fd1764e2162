import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { DedupeStore } from '../core/dedupe.ts'
import { hashEventId, ID_WORDS, type IdWords } from '../core/event-id-hash.ts'
import type { IdSegment } from '../core/id-segment.ts'
import { createIdTable, ENTRY_WORDS, entryTime, type IdTable } from '../core/id-table.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'
import { createSegmentGroups, type SegmentGroups } from '../core/segment-groups.ts'
import {
  readSegment,
  type SegmentFile,
  segmentFile,
  segmentName,
  segmentNames,
  writeSegment,
} from './id-segment-file.ts'

export type DedupeCacheOptions = {
  /** Folder of this partition alone; may be lost. */
  readonly dir: string
  /** What the ids are noted under; segments with another one are not believed. */
  readonly identity: string
  /** The longest window that `note` will be asked with, in ms; above 0. */
  readonly retainMs: number
  /** Ids held in memory before they become a segment: what a restart reads of raw again, at most. */
  readonly segmentIds: number
  readonly budget: MemoryBudget
}

/** Ids that were cut off to become a segment. */
type Cut = { readonly table: IdTable; readonly to: number; readonly rawTime: number | null }

/**
 * The dedupe store whose ids outlive the process. Ids noted since the last segment are in memory; at a commit that finds many of
 * them they become a segment, an immutable file, which leaves with its time. The files hold only what lies below a committed
 * position, so that they are never ahead of it: an id noted by a record that is decided again would make it its own duplicate.
 * A segment is believed whole, by its checksum, or not at all; with one of them missing, all are read again from raw.
 */
export function openDedupeCache(options: DedupeCacheOptions): DedupeStore {
  const { dir, identity, retainMs, budget } = options
  const id: IdWords = new Uint32Array(ID_WORDS)
  const segments: SegmentGroups<SegmentFile> = createSegmentGroups(options.segmentIds, budget)
  let tail = openSegments(options, segments)
  let table = createIdTable()
  let frozen: Cut | null = null
  let tableBytes = 0
  const newest = segments.all().at(-1)
  /** Where the next segment begins. */
  let from = tail?.from ?? newest?.to ?? 0
  let position = tail?.to ?? newest?.to ?? null
  let rawTime = tail?.rawTime ?? newest?.rawTime ?? NONE
  /** The cut that holds all that was noted; null once something was noted after it. */
  let whole: number | null = null
  /** `whole`, once committed: what a close may write. */
  let settled: number | null = null
  if (tail !== null) reload(tail)
  account()

  /** A segment that a stop wrote early goes on growing. */
  function reload({ entries }: IdSegment): void {
    for (let at = 0; at < entries.length; at += ENTRY_WORDS) {
      table.set(entries.subarray(at, at + ID_WORDS), entryTime(entries, at))
    }
  }

  function account(): void {
    const bytes = table.bytes() + (frozen?.table.bytes() ?? 0)
    budget.take(bytes - tableBytes)
    tableBytes = bytes
  }

  function lastSeen(): number | null {
    return table.find(id) ?? frozen?.table.find(id) ?? segments.find(id, rawTime - retainMs)
  }

  function write({ table: ids, to, rawTime: reached }: Cut): void {
    // By the raw time at the new end: whoever starts there needs nothing older, and from files nobody starts before it.
    const after = (reached ?? NONE) - retainMs
    const left = segments.removeUpTo(after)
    const oldest = segments.all()[0]?.from ?? from
    const entries = ids.sorted(after)
    segments.add(writeSegment(dir, { identity, from, to, oldest, rawTime: reached, entries }, budget), entries)
    if (tail !== null && tail.to !== to) rmSync(join(dir, segmentName(tail.from, tail.to)), { force: true })
    for (const segment of left) drop(segment)
    tail = null
    from = to
    position = to
  }

  function isFull(): boolean {
    const short = budget.used() > budget.limit && table.size() >= MIN_SEGMENT_IDS
    return table.size() >= options.segmentIds || short
  }

  function closeAll(): void {
    segments.close()
    budget.give(tableBytes)
    tableBytes = 0
  }

  return {
    advance(timestampMs) {
      whole = null
      settled = null
      if (timestampMs > rawTime) rawTime = timestampMs
    },
    note(eventId, windowMs) {
      hashEventId(eventId, id)
      const before = lastSeen()
      table.set(id, rawTime)
      return before !== null && before > rawTime - windowMs ? rawTime - before : null
    },
    rawTime: () => known(rawTime),
    size: () => segments.all().reduce((sum, { count }) => sum + count, table.size() + (frozen?.table.size() ?? 0)),
    diskBytes: () => segments.all().reduce((sum, { fileBytes }) => sum + fileBytes, 0),
    cut(sourceNext) {
      whole = sourceNext
      account()
      if (frozen !== null || !isFull()) return
      frozen = { table, to: sourceNext, rawTime: known(rawTime) }
      table = createIdTable()
      account()
    },
    committed(sourceNext) {
      if (whole === sourceNext) settled = whole
      if (frozen === null || frozen.to > sourceNext) return
      write(frozen)
      frozen = null
      account()
    },
    position: () => position,
    clear() {
      closeAll()
      removeAll(dir)
      table = createIdTable()
      ;[frozen, tail, position, whole, settled] = [null, null, null, null, null]
      from = 0
      rawTime = NONE
      account()
    },
    close() {
      // A folder that is gone is a retired version's.
      if (settled !== null && settled > (position ?? 0) && existsSync(dir))
        write({ table, to: settled, rawTime: known(rawTime) })
      closeAll()
    },
  }
}

const NONE = Number.NEGATIVE_INFINITY
const known = (rawTime: number): number | null => (rawTime === NONE ? null : rawTime)

/** Below it a segment costs more than it frees. */
const MIN_SEGMENT_IDS = 4096

function drop(segment: SegmentFile): void {
  segment.close()
  rmSync(segment.path, { force: true })
}

/**
 * Opens the segments that a former process left; a short last one is handed back to grow on. Nothing at all when one of them is
 * torn, belongs to something else, or does not begin where its neighbour ended.
 */
function openSegments(
  { dir, identity, segmentIds, budget }: DedupeCacheOptions,
  segments: SegmentGroups<SegmentFile>,
): IdSegment | null {
  let tail: IdSegment | null = null
  mkdirSync(dir, { recursive: true })
  const names = chainOf(segmentNames(dir), dir)
  let oldest = Number.NEGATIVE_INFINITY
  for (const [i, { name, from, to }] of names.entries()) {
    const path = join(dir, name)
    const segment = readSegment(path)
    const isNext = from === (names[i - 1]?.to ?? from)
    if (segment === null || segment.identity !== identity || segment.from !== from || segment.to !== to || !isNext) {
      return nothing()
    }
    oldest = segment.oldest
    const isShort = segment.entries.length / ENTRY_WORDS < segmentIds / 2
    if (isShort && i === names.length - 1) tail = segment
    else segments.add(segmentFile(path, segment, budget), segment.entries)
  }
  return (names[0]?.from ?? oldest) > oldest ? nothing() : tail

  function nothing(): null {
    segments.close()
    removeAll(dir)
    return null
  }
}

function removeAll(dir: string): void {
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
}

/** The longer one of two that begin alike came later and holds the other, which a crash kept from being removed. */
function chainOf<N extends { name: string; to: number }>(names: readonly N[], dir: string): N[] {
  const chain: N[] = []
  for (const name of names) {
    if (name.to > (chain.at(-1)?.to ?? -1)) chain.push(name)
    else rmSync(join(dir, name.name), { force: true })
  }
  return chain
}
