import type { JoinRule } from '@mesh/shared/core/contract'
import type { JoinTable, JoinTables, TableId } from './adapters/join-tables.ts'
import type { RefineCode } from './core/decide.ts'
import { type JoinedRow, tableKey } from './core/joins.ts'
import { joinRecord, type Look, prefetch } from './join-record.ts'
import type { WorkerContext } from './worker-context.ts'

export type RunnerJoinsDeps = {
  readonly tables: JoinTables
  readonly look: Look
  readonly codeAt: WorkerContext['codeAt']
  /** Live versions of the joined streams. */
  readonly joined: ReadonlyMap<string, number>
  /** A join as of a time before its table's history. */
  readonly beyondHistory: (as: string) => void
  /** A row arrived that a parked record may wait for. */
  readonly wake: (awaited: string) => void
}

/** What a version's bundles join: tables that it shares with other runners, and lookups. */
export type RunnerJoins = Pick<WorkerContext, 'join' | 'prefetch'> & {
  /** Resolves when every table is complete up to where its topic ended. */
  acquire(codes: Iterable<RefineCode>): Promise<void>
  release(): Promise<void>
}

export function createRunnerJoins(deps: RunnerJoinsDeps): RunnerJoins {
  const tables = new Map<
    string,
    { readonly id: TableId; readonly table: JoinTable; readonly unsubscribe: () => void }
  >()
  let withLookups = false

  function findRow(rule: JoinRule, key: string, atMs: number): JoinedRow | null {
    const { table } = tables.get(nameOf(rule))!
    if (rule.asOf === undefined) return table.find(key)
    const { row, beyond } = table.findAsOf(key, atMs)
    if (beyond) deps.beyondHistory(rule.as)
    return row
  }

  return {
    join: (input) => joinRecord(input, findRow, deps.look),
    async prefetch(sources) {
      if (withLookups) await prefetch(sources, deps.codeAt, deps.look)
    },
    async acquire(codes) {
      for (const { contract } of codes) {
        if ((contract.refine.lookups ?? []).length > 0) withLookups = true
        for (const rule of contract.refine.joins) {
          if (tables.has(nameOf(rule))) continue
          const { stream, asOf } = rule
          const id = { stream, version: deps.joined.get(stream)!, historyMs: asOf?.historyMs ?? null }
          const table = await deps.tables.acquire(id)
          const unsubscribe = table.onRow((key) => deps.wake(tableKey(stream, key)))
          tables.set(nameOf(rule), { id, table, unsubscribe })
        }
      }
    },
    async release() {
      const held = [...tables.values()]
      tables.clear()
      for (const { id, unsubscribe } of held) {
        unsubscribe()
        await deps.tables.release(id)
      }
    },
  }
}

/** Two rules of one stream share a table when they keep the same history. */
const nameOf = (rule: JoinRule): string => `${rule.stream}/${rule.asOf?.historyMs ?? 'latest'}`
