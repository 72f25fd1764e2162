import type { JoinRule } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import { type JoinScope, tableName } from '@mesh/shared/core/join-scope'
import { rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { realScheduler, type Scheduler } from '@mesh/shared/kafka/scheduler'
import type { JoinTable, JoinTables, TableId } from './adapters/join-tables.ts'
import type { RefineCode } from './core/decide.ts'
import { type JoinedRow, tableKey } from './core/joins.ts'
import { type FindRow, joinRecord, type Look, prefetch } from './join-record.ts'
import type { WorkerContext } from './worker-context.ts'

export type RunnerJoinsDeps = {
  readonly tables: JoinTables
  readonly look: Look
  readonly codeAt: WorkerContext['codeAt']
  /** Live versions of the joined streams. */
  readonly joined: ReadonlyMap<string, number>
  readonly scopes: ReadonlyMap<string, JoinScope>
  /** The own raw topic and the partitions that the stream was applied with. */
  readonly raw: { readonly topic: string; readonly partitions: number }
  readonly admin: Pick<KafkaPort['admin'], 'partitionCount'>
  readonly scheduler?: Scheduler
  /** A join as of a time before its table's history. */
  readonly beyondHistory: (as: string) => void
  /** A table that was held by partition is read whole, and why. */
  readonly widened: (table: string, reason: string) => void
  /** A row arrived that a parked record may wait for; `partition` null = of whichever partition. */
  readonly wake: (awaited: string, partition: number | null) => void
}

/** What a version's bundles join: tables that it shares with other runners, and lookups. */
export type RunnerJoins = Pick<WorkerContext, 'join' | 'prefetch'> & {
  /** Resolves when every table that is held whole is complete up to where its topic ended. */
  acquire(codes: Iterable<RefineCode>): Promise<void>
  /** Resolves when the partition's part of the others is. */
  enter(partition: number): Promise<void>
  /** The partition has left; what comes back within the grace finds its tables open. */
  leave(partition: number): void
  release(): Promise<void>
}

type Held = { readonly id: TableId; readonly table: JoinTable; readonly unsubscribe: () => void }
type Wanted = {
  readonly name: string
  readonly id: Omit<TableId, 'partition'>
  /** Why the parts cannot be trusted; null while they can. */
  widened: string | null
  /** All of it, where it is held whole. */
  whole: Held | null
  opening: Promise<void> | null
  readonly parts: Map<number, Held>
}

/** A rebalance takes every partition away and gives most of them back within seconds. */
const GRACE_MS = 30_000
/** A topic that gets more partitions spreads its keys anew: noticed within so long. */
const COUNT_WATCH_MS = 5000

export function createRunnerJoins(deps: RunnerJoinsDeps): RunnerJoins {
  const { tables, scopes, admin, raw, scheduler = realScheduler } = deps
  const wanted = new Map<string, Wanted>()
  const leaving = new Map<number, () => void>()
  let withLookups = false
  let stopWatching: (() => void) | null = null

  const isLocal = ({ name, widened }: Wanted): boolean => widened === null && scopes.get(name)?.kind === 'partition'

  const findRow: FindRow = (rule, key, { timeMs, partition }): JoinedRow | null => {
    const want = wanted.get(tableName(rule))!
    const held = want.whole ?? (want.widened === null ? want.parts.get(partition) : undefined)
    if (held === undefined) throw away(want)
    const row = lookUp(held.table, rule, key, timeMs)
    if (row !== null || held.table.knows(key)) return row
    widen(want, `the row of a key of partition ${partition} may lie in another partition`)
    throw away(want)
  }

  function lookUp(table: JoinTable, rule: JoinRule, key: string, timeMs: number): JoinedRow | null {
    if (rule.asOf === undefined) return table.find(key)
    const { row, beyond } = table.findAsOf(key, timeMs)
    if (beyond) deps.beyondHistory(rule.as)
    return row
  }

  /** The record is decided when the whole table is there: until then the partition stands still. */
  function away(want: Wanted): MeshError {
    if (want.widened !== null) void openWhole(want).catch(() => undefined)
    return new MeshError('MESH_JOIN_TABLE_AWAY', `the whole table is being read: ${want.widened ?? 'it is not open'}`, {
      place: refinedTopic(want.id.stream, want.id.version),
    })
  }

  function widen(want: Wanted, reason: string): void {
    if (want.widened !== null) return
    want.widened = reason
    deps.widened(want.name, reason)
    void openWhole(want).catch(() => undefined)
  }

  function openWhole(want: Wanted): Promise<void> {
    if (want.whole !== null) return Promise.resolve()
    want.opening ??= hold({ ...want.id, partition: null })
      .then(async (held) => {
        want.whole = held
        await Promise.all([...want.parts.keys()].map((partition) => letPartGo(want, partition)))
      })
      .finally(() => {
        want.opening = null
      })
    return want.opening
  }

  async function hold(id: TableId): Promise<Held> {
    const table = await tables.acquire(id)
    const unsubscribe = table.onRow((key) => deps.wake(tableKey(id.stream, key), id.partition))
    return { id, table, unsubscribe }
  }

  async function letGo(held: Held): Promise<void> {
    held.unsubscribe()
    await tables.release(held.id)
  }

  async function letPartGo(want: Wanted, partition: number): Promise<void> {
    const held = want.parts.get(partition)
    want.parts.delete(partition)
    if (held !== undefined) await letGo(held)
  }

  /** The contracts say what the partitions were when the streams were applied; the topics say what they are. */
  async function checkCounts(): Promise<void> {
    for (const want of [...wanted.values()].filter(isLocal)) {
      const { stream, version } = want.id
      for (const topic of [raw.topic, rawTopic(stream), refinedTopic(stream, version)]) {
        const partitions = await admin.partitionCount(topic)
        if (partitions !== raw.partitions) {
          widen(want, `${topic} has ${partitions} partitions and was applied with ${raw.partitions}`)
          break
        }
      }
    }
  }

  function want(rule: JoinRule): Wanted {
    const name = tableName(rule)
    const id = { stream: rule.stream, version: deps.joined.get(rule.stream)!, historyMs: rule.asOf?.historyMs ?? null }
    const known = wanted.get(name) ?? { name, id, widened: null, whole: null, opening: null, parts: new Map() }
    wanted.set(name, known)
    return known
  }

  async function release(): Promise<void> {
    stopWatching?.()
    for (const cancel of leaving.values()) cancel()
    leaving.clear()
    const all = [...wanted.values()]
    wanted.clear()
    for (const one of all) {
      await one.opening?.catch(() => undefined)
      for (const held of [...(one.whole ? [one.whole] : []), ...one.parts.values()]) await letGo(held)
    }
  }

  return {
    join: (input) => joinRecord(input, findRow, deps.look),
    async prefetch(sources) {
      if (withLookups) await prefetch(sources, deps.codeAt, deps.look)
    },
    async acquire(codes) {
      for (const { contract } of codes) {
        if ((contract.refine.lookups ?? []).length > 0) withLookups = true
        for (const rule of contract.refine.joins) want(rule)
      }
      await checkCounts()
      for (const one of wanted.values()) if (!isLocal(one)) await openWhole(one)
      if (![...wanted.values()].some(isLocal)) return
      // What cannot be asked now is asked the next time.
      stopWatching = scheduler.every(COUNT_WATCH_MS, () => void checkCounts().catch(() => undefined))
    },
    async enter(partition) {
      leaving.get(partition)?.()
      leaving.delete(partition)
      await Promise.all(
        [...wanted.values()].map(async (one) => {
          try {
            if (!isLocal(one)) await openWhole(one)
            else if (!one.parts.has(partition)) one.parts.set(partition, await hold({ ...one.id, partition }))
          } catch (cause) {
            // Whatever is wrong with it is the table's: the partitions that need it wait, and nobody else does.
            const place = refinedTopic(one.id.stream, one.id.version)
            throw new MeshError('MESH_JOIN_TABLE_AWAY', 'the joined table cannot be opened', { place, cause })
          }
        }),
      )
    },
    leave(partition) {
      if (![...wanted.values()].some(({ parts }) => parts.has(partition))) return
      leaving.get(partition)?.()
      const cancel = scheduler.after(GRACE_MS, () => {
        leaving.delete(partition)
        for (const one of wanted.values()) void letPartGo(one, partition)
      })
      leaving.set(partition, cancel)
    },
    release,
  }
}
