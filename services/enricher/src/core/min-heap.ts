/** A binary heap. */
export type MinHeap<T> = {
  push(entry: T): void
  /** The lowest entry, which stays. */
  top(): T | undefined
  pop(): T | undefined
  size(): number
  /** Lets go of every entry that is not to be kept. */
  retain(keep: (entry: T) => boolean): void
}

/** @param before whether the first of two comes out first */
export function createMinHeap<T>(before: (a: T, b: T) => boolean): MinHeap<T> {
  let heap: T[] = []

  function rise(entry: T, from: number): void {
    let at = from
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (before(heap[parent]!, entry)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  function sink(entry: T, from: number): void {
    let at = from
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child++
      if (before(entry, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = entry
  }

  return {
    push: (entry) => rise(entry, heap.push(entry) - 1),
    top: () => heap[0],
    pop() {
      const top = heap[0]
      const last = heap.pop()
      if (heap.length > 0) sink(last!, 0)
      return top
    },
    size: () => heap.length,
    retain(keep) {
      heap = heap.filter(keep)
      for (let at = (heap.length >> 1) - 1; at >= 0; at--) sink(heap[at]!, at)
    },
  }
}
