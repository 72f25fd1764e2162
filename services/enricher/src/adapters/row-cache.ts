import type { JoinedRow } from '../core/joins.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'

/** Rows used a short while ago, decoded. What has no room is decoded again when it is asked for. */
export type RowCache = {
  /** Undefined = not held; null = known to be missing. */
  get(key: string): JoinedRow | null | undefined
  put(key: string, row: JoinedRow | null, encodedBytes: number): void
  delete(key: string): void
  clear(): void
}

/** An object of a record takes about so many times its Avro bytes, and an entry so many bytes more. */
const OBJECT_FACTOR = 6
const ENTRY_BYTES = 300

type Entry = { readonly row: JoinedRow | null; readonly bytes: number; used: boolean }

/**
 * Second chance instead of the least recently used one: a hit only marks its entry, which every record does; what was marked moves
 * to the end when its turn to leave comes.
 */
export function createRowCache(budget: MemoryBudget): RowCache {
  const held = new Map<string, Entry>()

  function remove(key: string): void {
    const entry = held.get(key)
    if (entry === undefined) return
    held.delete(key)
    budget.give(entry.bytes)
  }

  /** False when nothing is left to go. */
  function removeOne(): boolean {
    // Whoever moves to the end is walked over once more, without its mark.
    for (const [key, entry] of held) {
      if (!entry.used) {
        remove(key)
        return true
      }
      entry.used = false
      held.delete(key)
      held.set(key, entry)
    }
    return false
  }

  return {
    get(key) {
      const entry = held.get(key)
      if (entry === undefined) return undefined
      entry.used = true
      return entry.row
    },
    put(key, row, encodedBytes) {
      remove(key)
      const bytes = encodedBytes * OBJECT_FACTOR + key.length * 2 + ENTRY_BYTES
      while (!budget.tryTake(bytes)) if (!removeOne()) return
      held.set(key, { row, bytes, used: false })
    },
    delete: remove,
    clear() {
      for (const key of held.keys()) remove(key)
    },
  }
}
