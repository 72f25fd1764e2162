import { advanceHighest, formatMeshSrc, isRedelivered, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { parseInstant } from '@mesh/shared/core/instant'
import { bytesText, headerText, type KafkaRecord, type RecordBatch } from '@mesh/shared/core/record'
import { HEADER, refinedTopic } from '@mesh/shared/core/topics'
import type { KafkaPort, PartitionOffsets } from '@mesh/shared/kafka/port'
import { type FastAvroCodec, frameSchemaId } from '@mesh/shared/schema/avro-codec'
import type { JoinedRow } from '../core/joins.ts'
import type { MemoryBudget } from '../core/memory-budget.ts'
import type { TableRow, TableStore } from '../core/table-store.ts'
import { createRowCache } from './row-cache.ts'

/** The refined records of one stream's version, by key. */
export type JoinTable = {
  /** The latest row. */
  find(key: string): JoinedRow | null
  /** The row that held at a time; `beyond` when that lies before the history that is kept. */
  findAsOf(key: string, atMs: number): { readonly row: JoinedRow | null; readonly beyond: boolean }
  size(): number
  /** Calls back for every row that arrives from now on, after it can be found. The returned function ends it. */
  onRow(listener: (key: string) => void): () => void
}

/** Which table: of a stream's version, with a history or without. */
export type TableId = { readonly stream: string; readonly version: number; readonly historyMs: number | null }

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
  readonly kafka: Pick<KafkaPort, 'follow'> & { readonly admin: Pick<KafkaPort['admin'], 'offsets' | 'topicIds'> }
  readonly codec: Pick<FastAvroCodec, 'decodeSync' | 'prepare'>
  /** `identity` names the topic that the rows are of; a store of another one begins from nothing. */
  readonly openStore: (id: TableId, identity: string) => TableStore
  /** For rows that are held decoded. */
  readonly budget: MemoryBudget
  /** ms since the epoch. */
  readonly wallClockMs: () => number
  readonly onFatal: (error: unknown) => void
}

type Open = { readonly table: JoinTable; readonly store: TableStore; readonly stop: () => Promise<void> }
type Shared = { users: number; readonly id: TableId; readonly opening: Promise<Open>; open: Open | null }

/**
 * A compacted topic forgets a delete a day after it was compacted (Kafka's delete.retention.ms). A store that was away for longer
 * could miss one, so it begins anew.
 */
const MAX_AWAY_MS = 12 * 3_600_000

export function createJoinTables(deps: JoinTablesDeps): JoinTables {
  const shared = new Map<string, Shared>()

  async function release(id: TableId): Promise<void> {
    const entry = shared.get(keyOf(id))
    if (!entry || --entry.users > 0) return
    shared.delete(keyOf(id))
    await (await entry.opening).stop()
  }

  function openShared(id: TableId): Shared {
    const opening = openTable(id, deps)
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

  const opened = (): (Open & { readonly id: TableId })[] =>
    [...shared.values()].flatMap(({ id, open }) => (open === null ? [] : [{ ...open, id }]))

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
        all[topic] = earlier(all[topic], Object.fromEntries(store.positions()))
      }
      return all
    },
    sizes: () => opened().map(({ id, store }) => ({ ...id, rows: store.size(), diskBytes: store.diskBytes() })),
  }
}

async function openTable(id: TableId, deps: JoinTablesDeps): Promise<Open> {
  const { kafka, codec } = deps
  const topic = refinedTopic(id.stream, id.version)
  const offsets = await kafka.admin.offsets(topic)
  const topicId = (await kafka.admin.topicIds([topic])).get(topic) ?? ''
  const store = deps.openStore(id, topicId)
  const cache = createRowCache(deps.budget)
  if (!goesOn(store, offsets, deps.wallClockMs())) store.clear()
  const listeners = new Set<(key: string) => void>()

  async function take(batch: RecordBatch): Promise<void> {
    await codec.prepare(schemaIds(batch.records.map(({ value }) => value)))
    const highest = { ...store.highest() }
    const rows: TableRow[] = []
    for (const record of batch.records) {
      const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
      if (isRedelivered(highest, src)) continue
      advanceHighest(highest, src)
      const key = record.key === null ? '' : bytesText(record.key)
      rows.push({ key, src: formatMeshSrc(src), validFromMs: eventTimeOf(record), value: record.value })
    }
    store.apply({ partition: batch.partition, nextOffset: batch.nextOffset, rows, highest })
    for (const { key } of rows) cache.delete(key)
    for (const { key } of rows) for (const listener of listeners) listener(key)
  }

  function decoded(cacheKey: string, read: () => TableRow | null): JoinedRow | null {
    const held = cache.get(cacheKey)
    if (held !== undefined) return held
    const row = read()
    const joined = row === null ? null : decode(row)
    cache.put(cacheKey, joined, row?.value?.byteLength ?? 0)
    return joined
  }

  function decode({ src, value }: TableRow): JoinedRow {
    const found = codec.decodeSync(value!)
    if (found === null) throw new MeshError('MESH_INTERNAL', 'the schema of a joined row was not prepared')
    return { src, record: deepFreeze(found.record) }
  }

  try {
    await codec.prepare(store.schemaIds())
    const follower = await kafka.follow(topic, {
      from: new Map(store.positions()),
      onBatch: take,
      onFatal: deps.onFatal,
    })
    await follower.caughtUp
    return {
      store,
      table: {
        find: (key) => decoded(key, () => store.latest(key)),
        findAsOf(key, atMs) {
          const { row, beyond } = store.asOf(key, atMs)
          // No key holds a line feed and a mesh-src together, and a version never changes.
          return { row: row === null ? null : decoded(`\n${row.src}`, () => row), beyond }
        },
        size: () => store.size(),
        onRow(listener) {
          listeners.add(listener)
          return () => void listeners.delete(listener)
        },
      },
      async stop() {
        await follower.stop()
        store.close()
        cache.clear()
      },
    }
  } catch (error) {
    store.close()
    throw error
  }
}

/** Whether the topic still has all that the store has not read. */
function goesOn(store: TableStore, offsets: readonly PartitionOffsets[], nowMs: number): boolean {
  const savedAt = store.savedAtMs()
  return offsets.every(({ partition, logStartOffset, highWatermark }) => {
    const position = store.positions().get(partition)
    if (position === undefined || position === highWatermark) return true
    if (position < logStartOffset || position > highWatermark) return false
    return savedAt !== null && nowMs - savedAt < MAX_AWAY_MS
  })
}

/** The refined record's own event time; a topic of someone else's may lack it. */
function eventTimeOf(record: KafkaRecord): number {
  const instant = parseInstant(headerText(record.headers, 'ce_time') ?? '')
  return instant?.offset ? instant.epochMs : record.timestamp
}

const keyOf = ({ stream, version, historyMs }: TableId): string =>
  `${refinedTopic(stream, version)}/${historyMs ?? 'latest'}`

/** A topic may be followed twice, with a history and without: what both have passed. */
function earlier(one: Record<number, number> | undefined, other: Record<number, number>): Record<number, number> {
  if (one === undefined) return other
  return Object.fromEntries(Object.entries(other).map(([p, next]) => [p, Math.min(next, one[Number(p)] ?? 0)]))
}

export function schemaIds(values: Iterable<Uint8Array | null>): Set<number> {
  const ids = new Set<number>()
  for (const value of values) if (value !== null) ids.add(frameSchemaId(value))
  return ids
}

/** A row is handed to refine.ts many times: what one call writes into it must not reach the next. Bytes cannot be frozen. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
