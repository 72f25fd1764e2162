/** Names by the time they are due: a binary heap whose entries go stale when a name gets another time. */
export type DueQueue = {
  add(dueMs: number, name: string): void
  /** Up to `most` names due at `nowMs`, earliest first. They stay; an entry that is not `current` any more is forgotten. */
  due(nowMs: number, most: number, current: (name: string, dueMs: number) => boolean): string[]
}

type Entry = { readonly dueMs: number; readonly order: number; readonly name: string }

export function createDueQueue(): DueQueue {
  const heap: Entry[] = []
  let added = 0

  const before = (a: Entry, b: Entry): boolean => (a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs)

  function push(entry: Entry): void {
    let at = heap.push(entry) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (before(heap[parent]!, entry)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  function pop(): Entry {
    const top = heap[0]!
    const last = heap.pop()!
    if (heap.length === 0) return top
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (before(last, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return top
  }

  return {
    add: (dueMs, name) => push({ dueMs, order: added++, name }),
    due(nowMs, most, current) {
      const found: Entry[] = []
      const seen = new Set<string>()
      while (heap.length > 0 && heap[0]!.dueMs <= nowMs && found.length < most) {
        const entry = pop()
        if (!current(entry.name, entry.dueMs) || seen.has(entry.name)) continue
        seen.add(entry.name)
        found.push(entry)
      }
      for (const entry of found) push(entry)
      return found.map(({ name }) => name)
    },
  }
}
