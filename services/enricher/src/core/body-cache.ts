import { recordBytes } from '@mesh/shared/core/record'
import type { Source } from './arrival.ts'

/**
 * Records that were parked a moment ago, so that most releases need no read. Bounded by bytes over all partitions: what does not
 * fit is read from `mesh.state` again.
 */
export type BodyCache = {
  put(place: string, source: Source): void
  get(place: string): Source | null
  delete(place: string): void
}

export function createBodyCache(maxBytes: number): BodyCache {
  const held = new Map<string, { readonly source: Source; readonly bytes: number }>()
  let total = 0

  function remove(place: string): void {
    const entry = held.get(place)
    if (entry === undefined) return
    held.delete(place)
    total -= entry.bytes
  }

  return {
    put(place, { at, record }) {
      remove(place)
      const bytes = recordBytes(record)
      if (total + bytes > maxBytes) return
      // Copies: a fetched record's bytes are views into the whole fetch.
      const headers = record.headers.map(({ name, value }) => ({ name, value: copy(value) }))
      const own = { ...record, key: copy(record.key), value: copy(record.value), headers }
      held.set(place, { source: { at, record: own }, bytes })
      total += bytes
    },
    get: (place) => held.get(place)?.source ?? null,
    delete: remove,
  }
}

function copy(bytes: Uint8Array | null): Uint8Array | null {
  return bytes === null ? null : Uint8Array.from(bytes)
}
