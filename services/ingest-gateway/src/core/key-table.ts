import { createHash } from 'node:crypto'
import { MeshError } from '@mesh/shared/core/errors'

/**
 * Keys with a short text each, bounded, and kept on `mesh.cursors` in buckets: only a bucket that has changed is written again.
 */
export type KeyTable = {
  readonly size: () => number
  readonly get: (key: string) => string | undefined
  /** @throws MeshError MESH_SOURCE_TOO_MANY_KEYS */
  readonly set: (key: string, text: string) => void
  readonly delete: (key: string) => void
  readonly entries: () => Iterable<readonly [key: string, text: string]>
  /** Buckets that changed since the last call, whole; null = empty. */
  readonly takeChanged: () => Map<string, Readonly<Record<string, string>> | null>
}

const BUCKETS = 64
const PREFIX = 'keys-'

/** @param parts the buckets as they were written, by their names; other parts are left alone. */
export function createKeyTable(parts: ReadonlyMap<string, unknown>, maxKeys: number): KeyTable {
  const buckets = Array.from({ length: BUCKETS }, () => new Map<string, string>())
  const changed = new Set<number>()
  let size = 0
  for (const [name, value] of parts) {
    if (!name.startsWith(PREFIX)) continue
    const bucket = buckets[Number(name.slice(PREFIX.length))]
    for (const [key, text] of Object.entries(value as Record<string, string>)) bucket?.set(key, text)
  }
  for (const bucket of buckets) size += bucket.size

  return {
    size: () => size,
    get: (key) => buckets[bucketOf(key)]!.get(key),
    set(key, text) {
      const index = bucketOf(key)
      const bucket = buckets[index]!
      if (bucket.get(key) === text) return
      if (!bucket.has(key)) {
        if (size >= maxKeys) {
          throw new MeshError('MESH_SOURCE_TOO_MANY_KEYS', `there are more than ${maxKeys} keys to remember`)
        }
        size++
      }
      bucket.set(key, text)
      changed.add(index)
    },
    delete(key) {
      const index = bucketOf(key)
      if (!buckets[index]!.delete(key)) return
      size--
      changed.add(index)
    },
    *entries() {
      for (const bucket of buckets) yield* bucket
    },
    takeChanged() {
      const taken = new Map<string, Readonly<Record<string, string>> | null>()
      for (const index of changed) {
        const bucket = buckets[index]!
        taken.set(`${PREFIX}${index}`, bucket.size === 0 ? null : Object.fromEntries(bucket))
      }
      changed.clear()
      return taken
    },
  }
}

const bucketOf = (key: string): number => createHash('sha1').update(key).digest()[0]! % BUCKETS
