import type { KeptKey, KeyStore } from './key-store.ts'
import { DATA_KEY_BYTES, type MasterKeys, subjectName, unwrapDataKey, WRAP_NONCE_BYTES, wrapDataKey } from './seal.ts'

/** A subject's data key, or the fact that there is none any more. */
export type SubjectKey =
  | { readonly kind: 'key'; readonly name: string; readonly dataKey: Uint8Array }
  | { readonly kind: 'erased' }

export type SubjectKeys = {
  /** What is known without asking; null = `fetch` first. */
  known(subject: string): SubjectKey | null
  /** Finds the subject's key or makes it. @throws MeshError of the store; MESH_PRIVACY_KEY */
  fetch(subject: string): Promise<SubjectKey>
}

export type SubjectKeysOptions = {
  readonly stream: string
  readonly keys: MasterKeys
  readonly store: KeyStore
  /** How long an erasure by another process may go unnoticed; above 0. */
  readonly holdMs: number
  /** Subjects remembered at a time. */
  readonly maxSubjects: number
  /** Monotonic, ms. */
  readonly now: () => number
  readonly randomBytes: (count: number) => Uint8Array
}

/**
 * Data keys of one stream's subjects, remembered. What was erased meanwhile is asked for in one request for all of them: until it was
 * asked again, nothing is known.
 */
export function createSubjectKeys(options: SubjectKeysOptions): SubjectKeys {
  const { stream, keys, store, holdMs, maxSubjects, now, randomBytes } = options
  // In order of arrival: the oldest is forgotten first.
  const held = new Map<string, SubjectKey>()
  let sureUntil = Number.NEGATIVE_INFINITY

  async function forgetErased(): Promise<void> {
    const until = now() + holdMs
    const erased = await store.erased(stream)
    for (const [subject, key] of held) {
      if (key.kind === 'key' && erased.has(key.name)) held.set(subject, { kind: 'erased' })
    }
    sureUntil = until
  }

  function hold(subject: string, key: SubjectKey): SubjectKey {
    held.set(subject, key)
    for (const oldest of held.keys()) {
      if (held.size <= maxSubjects) break
      held.delete(oldest)
    }
    return key
  }

  return {
    known: (subject) => (now() < sureUntil ? (held.get(subject) ?? null) : null),
    async fetch(subject) {
      if (now() >= sureUntil) await forgetErased()
      const known = held.get(subject)
      if (known !== undefined) return known
      const name = subjectName(keys, stream, subject)
      const kept: KeptKey = (await store.find(stream, name)) ?? (await store.keep(stream, name, fresh(name)))
      if (kept.kind === 'erased') return hold(subject, kept)
      return hold(subject, { kind: 'key', name, dataKey: unwrapDataKey(keys, kept.wrapped, name) })
    },
  }

  function fresh(name: string): Uint8Array {
    return wrapDataKey(keys, randomBytes(DATA_KEY_BYTES), { name, nonce: randomBytes(WRAP_NONCE_BYTES) })
  }
}
