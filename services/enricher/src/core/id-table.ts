import type { IdWords } from './event-id-hash.ts'

/** An id's four words and the time it was last seen at, as `low, high` of the ms since the epoch plus `TIME_BASE`. */
export const ENTRY_WORDS = 6
const TIME_WORD = 4
/** Kafka's "no timestamp" is −1, and an empty slot has the time words 0, 0. */
const TIME_BASE = 2
const WORD = 4_294_967_296
const FIRST_SLOTS = 256

/** A hash table of ids and times without an object per id. */
export type IdTable = {
  /** The time of an id, or null. */
  find(id: IdWords): number | null
  set(id: IdWords, timeMs: number): void
  size(): number
  bytes(): number
  /** Entries in order of the ids' first word, those with a time above `afterMs` only. */
  sorted(afterMs: number): Uint32Array
}

export function createIdTable(): IdTable {
  let slots = FIRST_SLOTS
  let table = new Uint32Array(slots * ENTRY_WORDS)
  let size = 0

  /** Index of the id's entry, or of the empty one where it belongs. */
  function entryOf(id: ArrayLike<number>, from: number): number {
    // The hash is uniform, so its second word is as good a start as any; the first one orders segments.
    let slot = id[from + 1]! & (slots - 1)
    for (;;) {
      const at = slot * ENTRY_WORDS
      if (isEmpty(at) || isSame(at, id, from)) return at
      slot = (slot + 1) & (slots - 1)
    }
  }

  function isEmpty(at: number): boolean {
    return table[at + TIME_WORD] === 0 && table[at + TIME_WORD + 1] === 0
  }

  function isSame(at: number, id: ArrayLike<number>, from: number): boolean {
    return (
      table[at] === id[from] &&
      table[at + 1] === id[from + 1] &&
      table[at + 2] === id[from + 2] &&
      table[at + 3] === id[from + 3]
    )
  }

  function grow(): void {
    if (slots === MAX_SLOTS) throw new Error(`more than ${MAX_SLOTS / 2} ids were noted between two commits`)
    const former = table
    slots *= 2
    table = new Uint32Array(slots * ENTRY_WORDS)
    for (let at = 0; at < former.length; at += ENTRY_WORDS) {
      if (former[at + TIME_WORD] === 0 && former[at + TIME_WORD + 1] === 0) continue
      const to = entryOf(former, at)
      // Word by word: a view for each entry would cost more than what it copies.
      for (let word = 0; word < ENTRY_WORDS; word++) table[to + word] = former[at + word]!
    }
  }

  return {
    find(id) {
      const at = entryOf(id, 0)
      return isEmpty(at) ? null : entryTime(table, at)
    },
    set(id, timeMs) {
      let at = entryOf(id, 0)
      if (isEmpty(at)) {
        size++
        if (size * 2 > slots) {
          grow()
          at = entryOf(id, 0)
        }
        for (let word = 0; word < TIME_WORD; word++) table[at + word] = id[word]!
      }
      const time = timeMs + TIME_BASE
      table[at + TIME_WORD] = time % WORD
      table[at + TIME_WORD + 1] = Math.floor(time / WORD)
    },
    size: () => size,
    bytes: () => table.byteLength,
    sorted: (afterMs) => sortEntries(table, afterMs),
  }
}

/** Time of the entry that begins at `at`. */
export function entryTime(entries: Uint32Array, at: number): number {
  return entries[at + TIME_WORD + 1]! * WORD + entries[at + TIME_WORD]! - TIME_BASE
}

function sortEntries(table: Uint32Array, afterMs: number): Uint32Array {
  const slots = table.length / ENTRY_WORDS
  // First word and slot in one double, 53 bits, so that the engine's own numeric sort does the work.
  const order = new Float64Array(slots)
  let count = 0
  for (let slot = 0; slot < slots; slot++) {
    const at = slot * ENTRY_WORDS
    if ((table[at + TIME_WORD] === 0 && table[at + TIME_WORD + 1] === 0) || entryTime(table, at) <= afterMs) continue
    order[count++] = table[at]! * MAX_SLOTS + slot
  }
  const kept = order.subarray(0, count).sort()
  const sorted = new Uint32Array(count * ENTRY_WORDS)
  for (let i = 0; i < count; i++) {
    const at = (kept[i]! % MAX_SLOTS) * ENTRY_WORDS
    const to = i * ENTRY_WORDS
    for (let word = 0; word < ENTRY_WORDS; word++) sorted[to + word] = table[at + word]!
  }
  return sorted
}

const MAX_SLOTS = 2 ** 21
