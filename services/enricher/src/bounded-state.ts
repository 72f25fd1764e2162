import { join } from 'node:path'
import { createDedupeFolder } from './adapters/dedupe-folder.ts'
import { createHttpLookups, type HttpLookups } from './adapters/http-lookups.ts'
import { createJoinTables, type JoinTables, type JoinTablesDeps } from './adapters/join-tables.ts'
import { openKeyedState, retainKeyedStates } from './adapters/keyed-stores.ts'
import { createTableFolder } from './adapters/table-folder.ts'
import { readSecret } from './config.ts'
import { createMemoryBudget, type MemoryBudget } from './core/memory-budget.ts'
import type { EnricherDeps } from './service.ts'

export type BoundedState = Pick<EnricherDeps, 'openDedupe' | 'openKeyed' | 'retain'> & {
  readonly tables: JoinTables
  readonly lookups: HttpLookups
  readonly dedupeBudget: MemoryBudget
  readonly rowBudget: MemoryBudget
}

type BoundedStateOptions = Pick<JoinTablesDeps, 'kafka' | 'codec'> & {
  readonly config: {
    readonly stateDir: string
    readonly dedupeMemoryBytes: number
    readonly dedupeSegmentIds: number
    readonly tableMemoryBytes: number
  }
}

/** What the process keeps beside the log: on disk what may be lost, in memory what the settings allow. */
export function createBoundedState({ config, ...deps }: BoundedStateOptions): BoundedState {
  const dedupeBudget = createMemoryBudget(config.dedupeMemoryBytes)
  const rowBudget = createMemoryBudget(config.tableMemoryBytes)
  const dedupes = createDedupeFolder({
    dir: join(config.stateDir, 'dedupe'),
    segmentIds: config.dedupeSegmentIds,
    budget: dedupeBudget,
  })
  const keyedDir = join(config.stateDir, 'keyed')
  const tableFiles = createTableFolder(join(config.stateDir, 'tables'))
  return {
    openDedupe: dedupes.open,
    openKeyed: (id) => openKeyedState(keyedDir, id),
    retain(versions) {
      dedupes.retain(versions)
      tableFiles.retain(versions)
      retainKeyedStates(keyedDir, versions)
    },
    tables: createJoinTables({ ...deps, openStore: tableFiles.open, budget: rowBudget, wallClockMs: Date.now }),
    lookups: createHttpLookups({ budget: rowBudget, readSecret, now: Date.now }),
    dedupeBudget,
    rowBudget,
  }
}
