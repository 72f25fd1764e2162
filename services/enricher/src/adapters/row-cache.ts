import type { JoinedRow } from '../core/joins.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'

/** The rows used last, decoded. What has no room is decoded again when it is asked for. */
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

export function createRowCache(budget: MemoryBudget): RowCache {
  // In order of use: what is read moves to the end.
  const held = new Map<string, { readonly row: JoinedRow | null; readonly bytes: number }>()

  function remove(key: string): void {
    const entry = held.get(key)
    if (entry === undefined) return
    held.delete(key)
    budget.give(entry.bytes)
  }

  return {
    get(key) {
      const entry = held.get(key)
      if (entry === undefined) return undefined
      held.delete(key)
      held.set(key, entry)
      return entry.row
    },
    put(key, row, encodedBytes) {
      remove(key)
      const bytes = encodedBytes * OBJECT_FACTOR + key.length * 2 + ENTRY_BYTES
      while (!budget.tryTake(bytes)) {
        const oldest = held.keys().next()
        if (oldest.done) return
        remove(oldest.value)
      }
      held.set(key, { row, bytes })
    },
    delete: remove,
    clear() {
      for (const key of held.keys()) remove(key)
    },
  }
}
