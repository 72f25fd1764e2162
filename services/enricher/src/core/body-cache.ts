import type { Source } from './arrival.ts'
import { packSource, unpackSource } from './packed-source.ts'

/**
 * Records that were parked a moment ago, so that most releases need no read. Bounded by the memory that they take, over all
 * partitions: what does not fit is read from `mesh.state` again.
 */
export type BodyCache = {
  /** A partition's part, empty. */
  readonly open: () => ParkedBodies
  /** Bytes of memory that the records take, what surrounds them included. */
  bytes(): number
}

/** The parked records of one partition that are held, by raw offset. */
export type ParkedBodies = {
  put(source: Source): void
  get(offset: number): Source | null
  delete(offset: number): void
  /** The partition has left: nothing of it is held any more, nor what comes later. */
  close(): void
}

/**
 * What an entry takes besides its packed bytes, counted rather too high: the buffer's two objects and its block, the entry, its slot
 * in the map. `tests/bench/enricher-memory.ts` measures it ('the cache of parked records alone').
 */
export const ENTRY_BYTES = 800

type Entry = { readonly topicId: string; readonly packed: Buffer; readonly bytes: number }

export function createBodyCache(maxBytes: number): BodyCache {
  let total = 0

  function open(): ParkedBodies {
    const held = new Map<number, Entry>()
    let closed = false
    /** Records of a replay topic bring a text of their own each. */
    let known = ''

    function remove(offset: number): void {
      const entry = held.get(offset)
      if (entry === undefined) return
      held.delete(offset)
      total -= entry.bytes
    }

    return {
      put(source) {
        const { topicId, offset } = source.at
        remove(offset)
        // Above the bound even without its headers: not worth the copy.
        if (closed || total + ENTRY_BYTES + (source.record.value?.byteLength ?? 0) > maxBytes) return
        const packed = packSource(source)
        const bytes = packed.length + ENTRY_BYTES
        if (total + bytes > maxBytes) return
        if (topicId !== known) known = topicId
        held.set(offset, { topicId: known, packed, bytes })
        total += bytes
      },
      get(offset) {
        const entry = held.get(offset)
        return entry === undefined ? null : unpackSource(entry.packed, entry.topicId)
      },
      delete: remove,
      close() {
        closed = true
        for (const offset of held.keys()) remove(offset)
      },
    }
  }

  return { open, bytes: () => total }
}
