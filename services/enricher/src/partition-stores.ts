import type { ParkedBodies } from './core/body-cache.ts'
import type { BookId } from './core/books.ts'
import type { DedupeStore } from './core/dedupe.ts'
import type { DedupeScope } from './core/dedupe-scope.ts'
import type { KeyedState } from './core/keyed-state.ts'

export type PartitionStoresDeps = {
  readonly openDedupe: (scope: DedupeScope) => DedupeStore
  /** Where the histories of a change stream's keys are kept. */
  readonly openKeyed: (id: BookId) => KeyedState
  /** What is held in memory of a partition's parked records. */
  readonly openBodies: () => ParkedBodies
}

/** The local stores of a runner's partitions, each open once at most: a partition that comes back is opened anew. */
export type PartitionStores = Pick<PartitionStoresDeps, 'openDedupe' | 'openKeyed'> & {
  readonly openBodies: (partition: number) => ParkedBodies
  /** The partition has left. */
  release(partition: number): void
  close(): void
}

export function createPartitionStores(deps: PartitionStoresDeps): PartitionStores {
  const dedupes = new Map<number, DedupeStore>()
  const keyed = new Map<number, KeyedState>()
  const bodies = new Map<number, ParkedBodies>()

  function replace<S extends { close(): void }>(held: Map<number, S>, partition: number, open: () => S): S {
    held.get(partition)?.close()
    held.delete(partition)
    const store = open()
    held.set(partition, store)
    return store
  }

  function release(partition: number): void {
    for (const held of [dedupes, keyed, bodies]) {
      held.get(partition)?.close()
      held.delete(partition)
    }
  }

  return {
    openDedupe: (scope) => replace(dedupes, scope.id.partition, () => deps.openDedupe(scope)),
    openKeyed: (id) => replace(keyed, id.partition, () => deps.openKeyed(id)),
    openBodies: (partition) => replace(bodies, partition, deps.openBodies),
    release,
    close() {
      for (const partition of [...dedupes.keys(), ...keyed.keys(), ...bodies.keys()]) release(partition)
    },
  }
}
