import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import type { IdWords } from '../core/event-id-hash.ts'
import { createIdFilter, filterBytes, type IdFilter } from '../core/id-filter.ts'
import { decodeSegment, encodeSegment, type IdSegment } from '../core/id-segment.ts'
import { ENTRY_WORDS, entryTime } from '../core/id-table.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'
import type { ChainSegment } from '../core/segment-groups.ts'

/** A segment on disk. In memory are its filter, where the budget has room for it, and the first word of every block. */
export type SegmentFile = ChainSegment &
  Pick<IdSegment, 'from' | 'to'> & { readonly path: string; readonly fileBytes: number }

const BLOCK_ENTRIES = 128
const ENTRY_BYTES = ENTRY_WORDS * 4

/** One for all: a lookup ends before the next begins. */
const block = new Uint32Array(BLOCK_ENTRIES * ENTRY_WORDS)

/** `<from>-<to>.ids`, 20 digits each. */
export const segmentName = (from: number, to: number): string => `${pad(from)}-${pad(to)}.ids`
/** The segments of a folder by their names: by beginning, the longest first. What a crash left half written is removed. */
export function segmentNames(dir: string): { readonly name: string; readonly from: number; readonly to: number }[] {
  const names: { name: string; from: number; to: number }[] = []
  for (const name of existing(dir)) {
    const match = /^(\d{20})-(\d{20})\.ids$/.exec(name)
    if (match) names.push({ name, from: Number(match[1]), to: Number(match[2]) })
    else rmSync(join(dir, name), { force: true, recursive: true })
  }
  return names.sort((a, b) => a.from - b.from || b.to - a.to)
}

function existing(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

const pad = (offset: number): string => String(offset).padStart(20, '0')

/**
 * Puts a segment under its name at once. It is not synced: a file that a power cut has torn fails its checksum, and what it held is
 * read from raw again.
 */
export function writeSegment(dir: string, segment: IdSegment, budget: MemoryBudget): SegmentFile {
  const path = join(dir, segmentName(segment.from, segment.to))
  const bytes = encodeSegment(segment)
  mkdirSync(dir, { recursive: true })
  writeFileSync(`${path}.part`, bytes)
  renameSync(`${path}.part`, path)
  const { entries, from, to, rawTime } = segment
  const entriesAt = bytes.byteLength - entries.byteLength
  return segmentFile(path, { from, to, rawTime, entries, entriesAt }, budget)
}

/** Reads and checks a whole segment; null when it is not what was written. */
export function readSegment(path: string): (IdSegment & { readonly entriesAt: number }) | null {
  return decodeSegment(readFileSync(path))
}

export function segmentFile(
  path: string,
  { from, to, rawTime, entries, entriesAt }: Omit<IdSegment, 'identity' | 'oldest'> & { readonly entriesAt: number },
  budget: MemoryBudget,
): SegmentFile {
  const count = entries.length / ENTRY_WORDS
  const firsts = new Uint32Array(Math.ceil(count / BLOCK_ENTRIES))
  for (let i = 0; i < firsts.length; i++) firsts[i] = entries[i * BLOCK_ENTRIES * ENTRY_WORDS]!
  const wanted = filterBytes(count)
  const filter: IdFilter | null = budget.tryTake(wanted) ? createIdFilter(count) : null
  filter?.add(entries, ENTRY_WORDS)
  budget.take(firsts.byteLength)
  const fd = openSync(path, 'r')

  function find(id: IdWords): number | null {
    if (count === 0 || (filter !== null && !filter.mayHold(id))) return null
    // Entries with the same first word may lie on both sides of a block's border.
    for (let at = blockBefore(id[0]!); at < firsts.length && firsts[at]! <= id[0]!; at++) {
      const found = findInBlock(id, at)
      if (found !== null) return found
    }
    return null
  }

  /** The last block that begins below `word`, or the first one. */
  function blockBefore(word: number): number {
    let low = 0
    let high = firsts.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (firsts[middle]! < word) low = middle + 1
      else high = middle
    }
    return Math.max(0, low - 1)
  }

  function findInBlock(id: IdWords, at: number): number | null {
    const held = Math.min(BLOCK_ENTRIES, count - at * BLOCK_ENTRIES)
    const bytes = held * ENTRY_BYTES
    const position = entriesAt + at * BLOCK_ENTRIES * ENTRY_BYTES
    if (readSync(fd, block, 0, bytes, position) !== bytes)
      throw new Error(`reading ${path}: the file has become shorter`)
    for (let entry = 0; entry < held * ENTRY_WORDS; entry += ENTRY_WORDS) {
      if (
        block[entry] === id[0] &&
        block[entry + 1] === id[1] &&
        block[entry + 2] === id[2] &&
        block[entry + 3] === id[3]
      ) {
        return entryTime(block, entry)
      }
    }
    return null
  }

  return {
    path,
    from,
    to,
    rawTime,
    count,
    fileBytes: entriesAt + entries.byteLength,
    find,
    close() {
      closeSync(fd)
      budget.give(firsts.byteLength + (filter === null ? 0 : wanted))
    },
  }
}
