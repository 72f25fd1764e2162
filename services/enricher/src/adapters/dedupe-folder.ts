import { join } from 'node:path'
import { createDedupeStore, type DedupeStore } from '../core/dedupe.ts'
import type { DedupeScope } from '../core/dedupe-scope.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'
import { openDedupeCache } from './dedupe-cache.ts'
import { removeVersionFolders } from './version-folders.ts'

export type DedupeFolder = {
  readonly open: (scope: DedupeScope) => DedupeStore
  /** Removes what belongs to other versions than these: they are retired. */
  readonly retain: (versions: readonly { readonly stream: string; readonly version: number }[]) => void
}

export type DedupeFolderOptions = {
  /** `<stream>/v<N>/<partition>` below it. */
  readonly dir: string
  readonly segmentIds: number
  readonly budget: MemoryBudget
}

/** The dedupe stores of all partitions of a process, each in a folder of its own, within one budget of memory. */
export function createDedupeFolder({ dir, segmentIds, budget }: DedupeFolderOptions): DedupeFolder {
  return {
    open({ id, retainMs, identity }) {
      if (retainMs === 0) return createDedupeStore(0)
      const own = join(dir, id.stream, `v${id.version}`, String(id.partition))
      return openDedupeCache({ dir: own, identity, retainMs, segmentIds, budget })
    },
    retain: (versions) => removeVersionFolders(dir, versions),
  }
}
