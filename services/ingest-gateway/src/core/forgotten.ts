import type { PulledKind } from './source-id.ts'

/** A position as its key on `mesh.cursors` names it. */
export type PositionKey = {
  readonly id: string
  readonly stream: string
  readonly source: string
  readonly kind: PulledKind
  /** Behind `#`: a partition of a foreign topic, or a bucket of a key table. */
  readonly part: string | null
}

const KEY = /^([^/]+)\/([^/]+)\/(poll|redis-stream|redis-keyspace|kafka|cdc):[^#]*/

export function readPositionKey(key: string): PositionKey | null {
  const match = KEY.exec(key)
  if (!match) return null
  const [id, stream, source, kind] = match as unknown as [string, string, string, PulledKind]
  return { id, stream, source, kind, part: key.length > id.length ? key.slice(id.length + 1) : null }
}

/** What is kept of a position that is forgotten, and whether the parts beside it go too. */
export type Forgotten = { readonly state: unknown; readonly parts: 'kept' | 'deleted' }

/**
 * Numbers that are in event ids go on: they would name other events the second time. A sweep's keys stay: it reads everything at each run,
 * and could not tell any more what is gone.
 */
export function forgotten(kind: PulledKind, state: unknown): Forgotten {
  switch (kind) {
    case 'poll': {
      const { of, runs } = (state ?? {}) as { of?: unknown; runs?: number }
      return { state: of === undefined ? null : { of, runs: runs ?? 0 }, parts: 'kept' }
    }
    case 'redis-keyspace':
      return { state: { seq: (state as { seq?: number } | null)?.seq ?? 0 }, parts: 'deleted' }
    case 'redis-stream':
    case 'kafka':
    case 'cdc':
      return { state: null, parts: 'deleted' }
  }
}
