/** What is kept of a subject: its wrapped data key, or the fact that it was erased. */
export type KeptKey = { readonly kind: 'key'; readonly wrapped: Uint8Array } | { readonly kind: 'erased' }

/** Where wrapped data keys are, shared by everybody who encrypts or reveals. Names are those of `subjectName`. */
export interface KeyStore {
  /** Null when there is none. @throws MeshError of the store */
  find(stream: string, name: string): Promise<KeptKey | null>
  /** Keeps `wrapped` unless there is a key or an erasure already; returns what is kept. Durable on return. */
  keep(stream: string, name: string, wrapped: Uint8Array): Promise<KeptKey>
  /** Destroys the key for good: none can be kept under the name any more. Idempotent. */
  erase(stream: string, name: string): Promise<void>
  /** Names of everything that was erased. */
  erased(stream: string): Promise<ReadonlySet<string>>
}

export function createMemoryKeyStore(): KeyStore {
  const kept = new Map<string, KeptKey>()
  return {
    find: async (stream, name) => kept.get(`${stream}/${name}`) ?? null,
    async keep(stream, name, wrapped) {
      const known = kept.get(`${stream}/${name}`) ?? { kind: 'key', wrapped }
      kept.set(`${stream}/${name}`, known)
      return known
    },
    erase: async (stream, name) => void kept.set(`${stream}/${name}`, { kind: 'erased' }),
    async erased(stream) {
      const own = [...kept].filter(([key, { kind }]) => kind === 'erased' && key.startsWith(`${stream}/`))
      return new Set(own.map(([key]) => key.slice(stream.length + 1)))
    },
  }
}
