import type { Coordinate } from '../core/coordinate.ts'
import { MeshError } from '../core/errors.ts'
import type { KafkaRecord, RecordBatch, RecordHeader } from '../core/record.ts'
import { rawTopic } from '../core/topics.ts'
import { type ChainId, chainKey, chainOffsets, readLink } from './chain.ts'
import type { ObjectStore } from './object-store.ts'
import { readParquetRows } from './parquet.ts'
import type { ParquetColumn } from './parquet-values.ts'

/** A raw record as bronze keeps it. Null and empty differ; headers keep their order. */
export const BRONZE_COLUMNS: readonly ParquetColumn[] = [
  { name: 'topic_id', type: { kind: 'string' }, nullable: false },
  { name: 'partition', type: { kind: 'int' }, nullable: false },
  { name: 'offset', type: { kind: 'bigint' }, nullable: false },
  { name: 'timestamp', type: { kind: 'millis' }, nullable: false },
  { name: 'key', type: { kind: 'bytes' }, nullable: true },
  { name: 'value', type: { kind: 'bytes' }, nullable: true },
  { name: 'headers', type: { kind: 'headers' }, nullable: false },
]

/** The row of a record, in the order of BRONZE_COLUMNS. */
export function bronzeRow({ topicId, partition, offset }: Coordinate, record: KafkaRecord): readonly unknown[] {
  return [topicId, partition, offset, record.timestamp, record.key, record.value, record.headers]
}

/** `hole`: retention took the range before bronze had it; there are no records. */
export type BronzeBatch = RecordBatch & { readonly hole: boolean }

export type BronzeRange = {
  readonly stream: string
  readonly topicId: string
  readonly partition: number
  readonly from: number
  readonly to: number
}

/**
 * Raw records of [from, to) as bronze has them, one batch per object, clipped to the range; batches tile. Ends early where the
 * chain ends: the last batch's `nextOffset` says how far it came; no batch at all when it ends at or below `from`.
 * @throws MeshError MESH_LAKE_CHAIN_BROKEN
 */
export async function* readBronzeRecords(store: ObjectStore, range: BronzeRange): AsyncGenerator<BronzeBatch> {
  const { stream, topicId, partition, from, to } = range
  const id: ChainId = { layer: 'bronze', stream, version: 1, topicId, partition }
  let at = await covering(store, id, from)
  while (at !== null && at < to) {
    const link = await readLink(store, id, at)
    if (!link) return
    const { firstOffset, nextOffset, kind } = link.footer
    if (nextOffset > from) {
      const clipped = { firstOffset: Math.max(firstOffset, from), nextOffset: Math.min(nextOffset, to) }
      const records = kind === 'hole' ? [] : await recordsOf(store, chainKey(id, at), clipped)
      yield { topic: rawTopic(stream), topicId, partition, ...clipped, records, hole: kind === 'hole' }
    }
    at = nextOffset
  }
}

/** First offset of the object that holds `offset`, or of the chain's last object when all lie below it. */
async function covering(store: ObjectStore, id: ChainId, offset: number): Promise<number | null> {
  let found: number | null = null
  for await (const firstOffset of chainOffsets(store, id)) {
    if (firstOffset > offset) break
    found = firstOffset
  }
  return found
}

async function recordsOf(
  store: ObjectStore,
  key: string,
  range: { firstOffset: number; nextOffset: number },
): Promise<KafkaRecord[]> {
  const bytes = await store.get(key)
  if (!bytes) throw new MeshError('MESH_LAKE_CHAIN_BROKEN', 'the object disappeared while it was read', { place: key })
  const records: KafkaRecord[] = []
  for (const row of await readParquetRows(bytes)) {
    const offset = Number(row['offset'])
    if (offset < range.firstOffset || offset >= range.nextOffset) continue
    records.push({
      offset,
      timestamp: row['timestamp'] as number,
      key: row['key'] as Uint8Array | null,
      value: row['value'] as Uint8Array | null,
      headers: row['headers'] as RecordHeader[],
    })
  }
  return records
}
