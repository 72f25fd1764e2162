import type { InputPosition, Run, StreamPositions } from '@mesh/shared/core/runs'
import { isOpen, supersede } from './run-state.ts'
import { positionsOf } from './vector.ts'

/** What `mesh.runs` says, held in memory by its one writer. */
export type RunTable = {
  readonly positions: Map<string, InputPosition>
  /** Runs whose record is behind: a crash came between the one that takes their place and their own. To be written first. */
  readonly mended: readonly Run[]
  get(id: string): Run | null
  set(run: Run): void
  delete(id: string): void
  /** In the order of planning. */
  of(job: string): Run[]
  all(): Run[]
}

export function createRunTable(runs: readonly Run[], positions: readonly StreamPositions[]): RunTable {
  const table = new Map(runs.map((run) => [run.id, run]))
  const mended: Run[] = []
  for (const { supersedes, plannedAt } of runs) {
    for (const id of supersedes) {
      const other = table.get(id)
      if (!other || !isOpen(other)) continue
      const ended = supersede(other, Date.parse(plannedAt))
      table.set(id, ended)
      mended.push(ended)
    }
  }
  const bySeq = (a: Run, b: Run): number => a.seq - b.seq
  return {
    positions: positionsOf(positions.flatMap((stream) => stream.positions)),
    mended,
    get: (id) => table.get(id) ?? null,
    set: (run) => void table.set(run.id, run),
    delete: (id) => void table.delete(id),
    of: (job) => [...table.values()].filter((run) => run.job === job).sort(bySeq),
    all: () => [...table.values()].sort((a, b) => (a.plannedAt < b.plannedAt ? 1 : -1)),
  }
}

/** Ended runs beyond the newest `keep`, which may be forgotten: never a dead one, never the latest. */
export function forgettable(runs: readonly Run[], keep: number): Run[] {
  const ended = runs.slice(0, -1).filter(({ state }) => state === 'succeeded' || state === 'superseded')
  return ended.slice(0, Math.max(0, ended.length - keep))
}
