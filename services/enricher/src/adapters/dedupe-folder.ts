import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createDedupeStore, type DedupeStore } from '../core/dedupe.ts'
import type { DedupeScope } from '../core/dedupe-scope.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'
import { openDedupeCache } from './dedupe-cache.ts'

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
    retain(versions) {
      const kept = new Set(versions.map(({ stream, version }) => join(stream, `v${version}`)))
      for (const stream of entries(dir)) {
        for (const version of entries(join(dir, stream))) {
          if (!kept.has(join(stream, version))) rmSync(join(dir, stream, version), { recursive: true, force: true })
        }
      }
    },
  }
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
