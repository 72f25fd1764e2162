import type { Source } from './arrival.ts'
import { packSource, unpackSource } from './packed-source.ts'

/**
 * Records that were parked a moment ago, so that most releases need no read. Bounded by the memory that they take, over all
 * partitions: what does not fit is read from `mesh.state` again.
 */
export type BodyCache = {
  put(place: string, source: Source): void
  get(place: string): Source | null
  delete(place: string): void
  /** Bytes of memory that the records take, what surrounds them included. */
  bytes(): number
}

/**
 * What an entry takes besides its packed bytes and its place, counted rather too high: the buffer's two objects and its block, the
 * entry, its slot in the map. `tests/bench/enricher-memory.ts` measures it ('the cache of parked records alone').
 */
export const ENTRY_BYTES = 800

type Entry = { readonly topicId: string; readonly packed: Buffer; readonly bytes: number }

export function createBodyCache(maxBytes: number): BodyCache {
  const held = new Map<string, Entry>()
  let total = 0
  /** Records of a replay topic bring a text of their own each. */
  let known = ''

  function remove(place: string): void {
    const entry = held.get(place)
    if (entry === undefined) return
    held.delete(place)
    total -= entry.bytes
  }

  return {
    put(place, source) {
      remove(place)
      // Above the bound even without its headers: not worth the copy.
      if (total + ENTRY_BYTES + (source.record.value?.byteLength ?? 0) > maxBytes) return
      const packed = packSource(source)
      const bytes = packed.length + place.length + ENTRY_BYTES
      if (total + bytes > maxBytes) return
      if (source.at.topicId !== known) known = source.at.topicId
      held.set(place, { topicId: known, packed, bytes })
      total += bytes
    },
    get(place) {
      const entry = held.get(place)
      return entry === undefined ? null : unpackSource(entry.packed, entry.topicId)
    },
    delete: remove,
    bytes: () => total,
  }
}
