import { advanceHighest, formatMeshSrc, isRedelivered, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { describeError, MeshError } from '@mesh/shared/core/errors'
import { parseInstant } from '@mesh/shared/core/instant'
import { liesIn, mayLieIn } from '@mesh/shared/core/join-scope'
import { bytesText, headerText, type KafkaRecord, type RecordBatch } from '@mesh/shared/core/record'
import { HEADER, refinedTopic } from '@mesh/shared/core/topics'
import type { PartitionOffsets } from '@mesh/shared/kafka/port'
import type { JoinedRow } from '../core/joins.ts'
import type { TableRow, TableStore } from '../core/table-store.ts'
import type { JoinTable, JoinTablesDeps, TableId } from './join-tables.ts'
import type { PartitionFollowers } from './partition-followers.ts'
import type { RowCache } from './row-cache.ts'
import { createRowSchemas } from './row-schemas.ts'

export type OpenTable = Omit<JoinTable, 'onRow'> & { readonly store: TableStore; stop(): Promise<void> }

export type OpenTableDeps = Pick<JoinTablesDeps, 'kafka' | 'codec' | 'openStore' | 'wallClockMs'> & {
  readonly followers: PartitionFollowers
  /** Shared by the parts of a table. */
  readonly cache: RowCache
  /** Told of every row, after it can be found. */
  readonly onRow: (key: string) => void
  /** Told once when rows cannot be taken any more. */
  readonly onBroken: (error: unknown) => void
}

/**
 * A compacted topic forgets a delete a day after it was compacted (Kafka's delete.retention.ms). A store that was away for longer
 * could miss one, so it begins anew.
 */
const MAX_AWAY_MS = 12 * 3_600_000

/** Opens what is on disk and resolves when it holds everything that was on the topic when it was asked for. */
export async function openTable(id: TableId, deps: OpenTableDeps): Promise<OpenTable> {
  const { kafka, cache, followers } = deps
  const { partition } = id
  const topic = refinedTopic(id.stream, id.version)
  const all = await kafka.admin.offsets(topic)
  const offsets = partition === null ? all : all.filter((one) => one.partition === partition)
  const topicId = (await kafka.admin.topicIds([topic])).get(topic) ?? ''
  const store = deps.openStore(id, topicId)
  const schemas = createRowSchemas(deps.codec)
  /** Null while it is being opened: a failure is then the opening's. */
  let tell: ((error: unknown) => void) | null = null
  let failure: { readonly error: unknown } | null = null
  let following: (() => Promise<void>) | null = null
  /** A row lies where its key does not belong: others may be missing here. */
  let misplaced = false

  function fail(error: unknown): void {
    if (failure !== null) return
    failure = { error }
    tell?.(error)
  }

  function throwFailure(): void {
    if (failure !== null) throw failure.error
  }

  async function stopFollowing(): Promise<void> {
    await following?.()
  }

  async function take(batch: RecordBatch): Promise<void> {
    // The follower is others' too: what is wrong here ends this table alone.
    if (failure !== null) return
    try {
      await takeRows(batch)
    } catch (error) {
      fail(error)
    }
  }

  async function takeRows(batch: RecordBatch): Promise<void> {
    await schemas.prepare(batch.records.map(({ value }) => value))
    const highest = { ...store.highest() }
    const rows: TableRow[] = []
    for (const record of batch.records) {
      const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
      if (isRedelivered(highest, src)) continue
      advanceHighest(highest, src)
      const key = record.key === null ? '' : bytesText(record.key)
      if (partition !== null && !mayLieIn(key, partition, all.length)) misplaced = true
      rows.push({ key, src: formatMeshSrc(src), validFromMs: eventTimeOf(record), value: record.value })
    }
    store.apply({ partition: batch.partition, nextOffset: batch.nextOffset, rows, highest })
    for (const { key } of rows) cache.delete(key)
    for (const { key } of rows) deps.onRow(key)
  }

  function knows(key: string): boolean {
    return partition === null || (!misplaced && liesIn(key, partition, all.length))
  }

  function read<T>(from: () => T): T {
    try {
      return from()
    } catch (error) {
      fail(error)
      throw error
    }
  }

  function decoded(cacheKey: string, key: string, row: () => TableRow | null): JoinedRow | null {
    const held = cache.get(cacheKey)
    if (held !== undefined) return held
    const found = row()
    const joined = found === null ? null : { src: found.src, record: deepFreeze(schemas.decode(found.value!, topic)) }
    // The parts of a table share the cache: what one does not have another may.
    if (joined !== null || knows(key)) cache.put(cacheKey, joined, found?.value?.byteLength ?? 0)
    return joined
  }

  async function follow(): Promise<void> {
    if (partition === null) {
      const follower = await kafka.follow(topic, { from: new Map(store.positions()), onBatch: take, onFatal: fail })
      following = () => follower.stop()
      return follower.caughtUp
    }
    const follower = await followers.acquire(topic, fail)
    following = async () => {
      await follower.remove(partition)
      await followers.release(topic, fail)
    }
    await follower.add(partition, { from: store.positions().get(partition) ?? null, onBatch: take })
  }

  try {
    if (!goesOn(store, offsets, deps.wallClockMs())) store.clear()
    cache.clear()
    await schemas.prepareIds(store.schemaIds())
    await follow()
    throwFailure()
    tell = deps.onBroken
  } catch (error) {
    await stopFollowing()
    closeQuietly(store)
    throw error
  }
  return {
    store,
    knows,
    find: (key) => decoded(key, key, () => read(() => store.latest(key))),
    findAsOf(key, atMs) {
      const { row, beyond } = read(() => store.asOf(key, atMs))
      // No key holds a line feed and a mesh-src together, and a version never changes.
      return { row: row === null ? null : decoded(`\n${row.src}`, key, () => row), beyond }
    },
    size: () => store.size(),
    async stop() {
      failure ??= { error: null }
      await stopFollowing()
      closeQuietly(store)
      cache.clear()
    },
  }
}

/** A damaged store has closed itself. */
function closeQuietly(store: TableStore): void {
  try {
    store.close()
  } catch (error) {
    if (!describeError(error).includes('not open')) {
      throw new MeshError('MESH_STATE_DAMAGED', 'the file of a joined table cannot be closed', { cause: error })
    }
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

/** A row is handed to refine.ts many times: what one call writes into it must not reach the next. Bytes cannot be frozen. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
