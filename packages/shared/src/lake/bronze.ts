import type { Coordinate } from '../core/coordinate.ts'
import { MeshError } from '../core/errors.ts'
import type { KafkaRecord, RecordBatch, RecordHeader } from '../core/record.ts'
import { rawTopic } from '../core/topics.ts'
import { readNamed } from './chain.ts'
import { type ChainId, type ChainName, currentNames } from './chain-names.ts'
import type { ObjectStore } from './object-store.ts'
import { readRowGroups } from './parquet.ts'
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

/** `hole`: retention took the range, before bronze had it or after; there are no records. */
export type BronzeBatch = RecordBatch & { readonly hole: boolean }

export type BronzeRange = {
  readonly stream: string
  readonly topicId: string
  readonly partition: number
  readonly from: number
  readonly to: number
}

/**
 * Raw records of [from, to) as bronze has them, one batch per object and row group, clipped to the range; batches tile. Ends early
 * where the chain ends: the last batch's `nextOffset` says how far it came; no batch at all when it ends at or below `from`.
 * @throws MeshError MESH_LAKE_CHAIN_BROKEN
 */
export async function* readBronzeRecords(store: ObjectStore, range: BronzeRange): AsyncGenerator<BronzeBatch> {
  const { stream, topicId, partition, from, to } = range
  const id: ChainId = { layer: 'bronze', stream, version: 1, topicId, partition }
  const place = { topic: rawTopic(stream), topicId, partition }
  let expected: number | null = null
  for (const name of await namesOf(store, id, { from, to })) {
    const link = await readNamed(store, name)
    if (!link || name.firstOffset !== (expected ?? name.firstOffset)) {
      const problem = link
        ? `does not begin at ${expected}, where its neighbour ended`
        : 'disappeared while it was read'
      throw new MeshError('MESH_LAKE_CHAIN_BROKEN', `the object ${problem}`, { place: name.key })
    }
    const { firstOffset, nextOffset, kind } = link.footer
    expected = nextOffset
    if (nextOffset <= from) continue
    const clipped = { firstOffset: Math.max(firstOffset, from), nextOffset: Math.min(nextOffset, to) }
    if (kind === 'records') yield* batchesOf(store, { key: link.key, place, range: clipped })
    else yield { ...place, ...clipped, records: [], hole: true }
  }
}

/** From the object that holds `from`, or the chain's last where all lie below it, to the last that begins below `to`. */
async function namesOf(
  store: ObjectStore,
  id: ChainId,
  { from, to }: { from: number; to: number },
): Promise<readonly ChainName[]> {
  let names: ChainName[] = []
  for await (const name of currentNames(store, id)) {
    if (name.firstOffset >= to) break
    if (name.firstOffset <= from) names = []
    names.push(name)
  }
  return names
}

type Place = Pick<RecordBatch, 'topic' | 'topicId' | 'partition'>

/** A row group at a time: what is in memory beside the object's bytes does not grow with the object. */
async function* batchesOf(
  store: ObjectStore,
  { key, place, range }: { key: string; place: Place; range: { firstOffset: number; nextOffset: number } },
): AsyncGenerator<BronzeBatch> {
  const bytes = await store.get(key)
  if (!bytes) throw new MeshError('MESH_LAKE_CHAIN_BROKEN', 'the object disappeared while it was read', { place: key })
  let held: KafkaRecord[] = []
  let { firstOffset } = range
  for await (const rows of readRowGroups(bytes)) {
    // Offsets behind a group's last record, without records themselves, belong to what comes next.
    const nextOffset = held.at(-1) && held.at(-1)!.offset + 1
    if (nextOffset !== undefined) yield { ...place, firstOffset, nextOffset, records: held, hole: false }
    firstOffset = nextOffset ?? firstOffset
    held = recordsOf(rows, range)
  }
  yield { ...place, firstOffset, nextOffset: range.nextOffset, records: held, hole: false }
}

function recordsOf(
  rows: readonly Record<string, unknown>[],
  range: { firstOffset: number; nextOffset: number },
): KafkaRecord[] {
  const records: KafkaRecord[] = []
  for (const row of rows) {
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
