import { createMinHeap } from './min-heap.ts'

/** Names by the time they are due: a binary heap whose entries go stale when a name gets another time. */
export type DueQueue = {
  add(dueMs: number, name: string): void
  /** Up to `most` names due at `nowMs`, earliest first. They stay; an entry that is not `current` any more is forgotten. */
  due(nowMs: number, most: number, current: (name: string, dueMs: number) => boolean): string[]
}

type Entry = { readonly dueMs: number; readonly order: number; readonly name: string }

export function createDueQueue(): DueQueue {
  const heap = createMinHeap<Entry>((a, b) => (a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs))
  let added = 0
  return {
    add: (dueMs, name) => heap.push({ dueMs, order: added++, name }),
    due(nowMs, most, current) {
      const found: Entry[] = []
      const seen = new Set<string>()
      for (let top = heap.top(); top !== undefined && top.dueMs <= nowMs && found.length < most; top = heap.top()) {
        heap.pop()
        if (!current(top.name, top.dueMs) || seen.has(top.name)) continue
        seen.add(top.name)
        found.push(top)
      }
      for (const entry of found) heap.push(entry)
      return found.map(({ name }) => name)
    },
  }
}
