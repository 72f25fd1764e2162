/**
 * What a change stream remembers per key of one raw partition: a pure function of the raw records below a source offset. What is set
 * is visible at once and becomes durable only once the offset it belongs to is committed, so that the durable part is never ahead
 * of the committed offset. After a crash it is behind at most, and the records between are read again.
 */
export type KeyedState = {
  /** Source offset that the durable part stands before; 0 when there is none. */
  at(): number
  get(key: string): string | null
  set(key: string, value: string): void
  /** What was set so far is the state before source offset `next`. */
  seal(next: number): void
  /** The offset of the last seal is committed: makes everything sealed durable, in one step. */
  keep(): void
  /** Forgets everything, durably. */
  clear(): void
  close(): void
}

/** Where the durable part lies. */
export type KeyedStore = {
  at(): number
  get(key: string): string | null
  /** All or nothing. */
  write(next: number, entries: ReadonlyMap<string, string>): void
  clear(): void
  close(): void
}

/** Memory holds what was set since the last commit, no more. */
export function createKeyedState(store: KeyedStore): KeyedState {
  let open = new Map<string, string>()
  const sealed = new Map<string, string>()
  let sealedNext: number | null = null
  return {
    at: () => store.at(),
    get: (key) => open.get(key) ?? sealed.get(key) ?? store.get(key),
    set: (key, value) => void open.set(key, value),
    seal(next) {
      for (const [key, value] of open) sealed.set(key, value)
      open = new Map()
      sealedNext = next
    },
    keep() {
      if (sealedNext === null) return
      store.write(sealedNext, sealed)
      sealed.clear()
      sealedNext = null
    },
    clear() {
      open = new Map()
      sealed.clear()
      sealedNext = null
      store.clear()
    },
    close: () => store.close(),
  }
}

export function createMemoryKeyedStore(): KeyedStore {
  const rows = new Map<string, string>()
  let position = 0
  return {
    at: () => position,
    get: (key) => rows.get(key) ?? null,
    write(next, entries) {
      for (const [key, value] of entries) rows.set(key, value)
      position = next
    },
    clear() {
      rows.clear()
      position = 0
    },
    close: () => {},
  }
}
