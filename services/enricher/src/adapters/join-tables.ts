import { refinedTopic } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { realScheduler, type Scheduler } from '@mesh/shared/kafka/scheduler'
import type { FastAvroCodec } from '@mesh/shared/schema/avro-codec'
import type { JoinedRow } from '../core/joins.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'
import type { TableStore } from '../core/table-store.ts'
import { type HealingTable, openHealingTable } from './healing-table.ts'
import { createPartitionFollowers } from './partition-followers.ts'
import { createRowCache, type RowCache } from './row-cache.ts'

/**
 * The refined records of one stream's version, by key: all of them, or those of one partition. Lookups throw while the table is being
 * opened again, or when a row cannot be decoded.
 */
export type JoinTable = {
  /** The latest row. */
  find(key: string): JoinedRow | null
  /** The row that held at a time; `beyond` when that lies before the history that is kept. */
  findAsOf(key: string, atMs: number): { readonly row: JoinedRow | null; readonly beyond: boolean }
  /** Whether a row that is not found is nowhere else either. */
  knows(key: string): boolean
  size(): number
  /** Calls back for every row that arrives from now on, after it can be found. The returned function ends it. */
  onRow(listener: (key: string) => void): () => void
}

/** Which table: of a stream's version, with a history or without, of one partition or (null) of all. */
export type TableId = {
  readonly stream: string
  readonly version: number
  readonly historyMs: number | null
  readonly partition: number | null
}

export type JoinTables = {
  /** Resolves when the table holds everything that was on the topic when it was asked for. Runners of a process share it. */
  acquire(id: TableId): Promise<JoinTable>
  /** Once per `acquire`; the last one stops the table. */
  release(id: TableId): Promise<void>
  /** Next offset of each table by topic and partition: what is posted after a row's offset is passed finds the row. */
  positions(): Readonly<Record<string, Readonly<Record<number, number>>>>
  /** Rows and bytes on disk of each open table. */
  sizes(): readonly (TableId & { readonly rows: number; readonly diskBytes: number })[]
}

export type JoinTablesDeps = {
  readonly kafka: Pick<KafkaPort, 'follow' | 'followPartitions'> & {
    readonly admin: Pick<KafkaPort['admin'], 'offsets' | 'topicIds'>
  }
  readonly codec: Pick<FastAvroCodec, 'decodeSync' | 'prepare'>
  /** `identity` names the topic that the rows are of; a store of another one begins from nothing. */
  readonly openStore: (id: TableId, identity: string) => TableStore
  /** For rows that are held decoded. */
  readonly budget: MemoryBudget
  /** ms since the epoch. */
  readonly wallClockMs: () => number
  readonly scheduler?: Scheduler
}

type Shared = {
  users: number
  readonly id: TableId
  readonly opening: Promise<HealingTable>
  open: HealingTable | null
}

export function createJoinTables(deps: JoinTablesDeps): JoinTables {
  const { scheduler = realScheduler } = deps
  const shared = new Map<string, Shared>()
  const followers = createPartitionFollowers(deps.kafka)
  /** The parts of a table share a cache: otherwise the first to fill the budget would keep the others out. */
  const caches = new Map<string, RowCache>()

  function cacheOf(id: TableId): RowCache {
    const name = `${nameOf(id)}/${id.partition === null}`
    const cache = caches.get(name) ?? createRowCache(deps.budget)
    caches.set(name, cache)
    return cache
  }

  async function release(id: TableId): Promise<void> {
    const entry = shared.get(keyOf(id))
    if (!entry || --entry.users > 0) return
    shared.delete(keyOf(id))
    const [opened] = await Promise.allSettled([entry.opening])
    if (opened.status === 'fulfilled') await opened.value.stop()
  }

  function openShared(id: TableId): Shared {
    const opening = openHealingTable(id, { ...deps, scheduler, followers, cache: cacheOf(id) })
    const entry: Shared = { users: 0, id, opening, open: null }
    opening.then(
      (open) => {
        entry.open = open
      },
      () => {
        if (shared.get(keyOf(id)) === entry) shared.delete(keyOf(id))
      },
    )
    shared.set(keyOf(id), entry)
    return entry
  }

  const opened = (): { readonly id: TableId; readonly store: TableStore }[] =>
    [...shared.values()].flatMap(({ id, open }) => {
      const store = open?.store() ?? null
      return store === null ? [] : [{ id, store }]
    })

  return {
    async acquire(id) {
      const entry = shared.get(keyOf(id)) ?? openShared(id)
      entry.users++
      return (await entry.opening).table
    },
    release,
    positions() {
      const all: Record<string, Record<number, number>> = {}
      for (const { id, store } of opened()) {
        const topic = refinedTopic(id.stream, id.version)
        all[topic] = earlier(all[topic], store.positions())
      }
      return all
    },
    sizes: () => opened().map(({ id, store }) => ({ ...id, rows: store.size(), diskBytes: store.diskBytes() })),
  }
}

const nameOf = ({ stream, version, historyMs }: TableId): string =>
  `${refinedTopic(stream, version)}/${historyMs ?? 'latest'}`

const keyOf = (id: TableId): string => `${nameOf(id)}/${id.partition ?? 'all'}`

/** A partition may be followed by several tables, with a history and without: what all that have it have passed. */
function earlier(one: Record<number, number> = {}, other: ReadonlyMap<number, number>): Record<number, number> {
  const both = { ...one }
  for (const [partition, next] of other) both[partition] = Math.min(next, both[partition] ?? next)
  return both
}
