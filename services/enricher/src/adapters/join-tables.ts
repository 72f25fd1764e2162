import {
  advanceHighest,
  formatMeshSrc,
  type HighestSrc,
  isRedelivered,
  parseMeshSrc,
} from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { bytesText, headerText, type RecordBatch } from '@mesh/shared/core/record'
import { HEADER, refinedTopic } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { type FastAvroCodec, frameSchemaId } from '@mesh/shared/schema/avro-codec'
import type { JoinedRow } from '../core/joins.ts'

/** The latest refined record per key of one stream's version, in memory. */
export type JoinTable = {
  find(key: string): JoinedRow | null
  size(): number
  /** Calls back for every row that arrives from now on, after it can be found. The returned function ends it. */
  onRow(listener: (key: string) => void): () => void
}

export type JoinTables = {
  /** Resolves when the table holds everything that was on the topic when it was asked for. Runners of a process share it. */
  acquire(stream: string, version: number): Promise<JoinTable>
  /** Once per `acquire`; the last one stops the table. */
  release(stream: string, version: number): Promise<void>
  /** Next offset of each table by topic and partition: what is posted after a row's offset is passed finds the row. */
  positions(): Readonly<Record<string, Readonly<Record<number, number>>>>
}

export type JoinTablesDeps = {
  readonly kafka: Pick<KafkaPort, 'follow'>
  readonly codec: Pick<FastAvroCodec, 'decodeSync' | 'prepare'>
  readonly onFatal: (error: unknown) => void
}

type Shared = { users: number; readonly opening: Promise<{ table: JoinTable; stop: () => Promise<void> }> }

export function createJoinTables(deps: JoinTablesDeps): JoinTables {
  const shared = new Map<string, Shared>()
  const positions = new Map<string, Record<number, number>>()

  async function release(stream: string, version: number): Promise<void> {
    const topic = refinedTopic(stream, version)
    const entry = shared.get(topic)
    if (!entry || --entry.users > 0) return
    shared.delete(topic)
    positions.delete(topic)
    await (await entry.opening).stop()
  }

  function positionsOf(topic: string): Record<number, number> {
    const own: Record<number, number> = {}
    positions.set(topic, own)
    return own
  }

  return {
    positions: () => Object.fromEntries(positions),
    async acquire(stream, version) {
      const topic = refinedTopic(stream, version)
      const entry: Shared = shared.get(topic) ?? { users: 0, opening: openTable(topic, deps, positionsOf(topic)) }
      shared.set(topic, entry)
      entry.users++
      try {
        return (await entry.opening).table
      } catch (error) {
        if (shared.get(topic) === entry) {
          shared.delete(topic)
          positions.delete(topic)
        }
        throw error
      }
    },
    release,
  }
}

/** Bytes until the row is used for the first time: most rows of a table never are. */
type Row = { src: string; bytes: Uint8Array; decoded: JoinedRow | null }

async function openTable(
  topic: string,
  { kafka, codec, onFatal }: JoinTablesDeps,
  positions: Record<number, number>,
): Promise<{ table: JoinTable; stop: () => Promise<void> }> {
  const rows = new Map<string, Row>()
  const highest: HighestSrc = {}
  const listeners = new Set<(key: string) => void>()

  async function take(batch: RecordBatch): Promise<void> {
    await codec.prepare(schemaIds(batch))
    for (const record of batch.records) {
      const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
      if (isRedelivered(highest, src)) continue
      advanceHighest(highest, src)
      const key = record.key === null ? '' : bytesText(record.key)
      if (record.value === null) rows.delete(key)
      // A copy: the record's bytes are a view into a whole fetch, which would stay in memory with it.
      else rows.set(key, { src: formatMeshSrc(src), bytes: Uint8Array.from(record.value), decoded: null })
      for (const listener of listeners) listener(key)
    }
    positions[batch.partition] = batch.nextOffset
  }

  function find(key: string): JoinedRow | null {
    const row = rows.get(key)
    if (row === undefined) return null
    row.decoded ??= decode(row)
    return row.decoded
  }

  function decode(row: Row): JoinedRow {
    const decoded = codec.decodeSync(row.bytes)
    if (decoded === null) throw new MeshError('MESH_INTERNAL', 'the schema of a joined row was not prepared')
    row.bytes = EMPTY
    return { src: row.src, record: deepFreeze(decoded.record) }
  }

  const follower = await kafka.follow(topic, { from: 'start', onBatch: take, onFatal })
  await follower.caughtUp
  function onRow(listener: (key: string) => void): () => void {
    listeners.add(listener)
    return () => void listeners.delete(listener)
  }
  return { table: { find, size: () => rows.size, onRow }, stop: () => follower.stop() }
}

const EMPTY = new Uint8Array(0)

function schemaIds(batch: RecordBatch): Set<number> {
  const ids = new Set<number>()
  for (const { value } of batch.records) if (value !== null) ids.add(frameSchemaId(value))
  return ids
}

/** A row is handed to refine.ts many times: what one call writes into it must not reach the next. Bytes cannot be frozen. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}
