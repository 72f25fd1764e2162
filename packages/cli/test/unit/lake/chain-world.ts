import { addCounts, addHash, formatHash, type HashSum, rawHash, ZERO_COUNTS } from '@mesh/shared/core/books'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { BRONZE_COLUMNS, bronzeRow, readBronzeRecords } from '@mesh/shared/lake/bronze'
import { type ChainFooter, formatChainFooter } from '@mesh/shared/lake/chain'
import { type ChainId, chainKey, chainPrefix } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { writeParquet } from '@mesh/shared/lake/parquet'
import type { ParquetColumn } from '@mesh/shared/lake/parquet-values'

export const ID: ChainId = { layer: 'bronze', stream: 'flights', version: 1, topicId: 'topic-1', partition: 0 }

export const recordAt = (offset: number): KafkaRecord => ({
  offset,
  timestamp: 1_000 + offset,
  key: offset % 2 ? Buffer.from(`k${offset}`) : null,
  value: offset % 3 ? Buffer.from(`v${offset}`) : new Uint8Array(0),
  headers: [
    { name: 'h', value: null },
    { name: 'h', value: Buffer.from(`${offset}`) },
  ],
})

/** A bronze chain with books of its own, written as the sink writes one: object by object, at its end. */
export type ChainWriter = {
  /** [end, next) with a record at every offset, or a hole. */
  write(
    next: number,
    change?: { kind?: 'hole'; columns?: readonly ParquetColumn[]; hash?: string; old?: true },
  ): Promise<void>
}

export function chainWriter(store: ObjectStore): ChainWriter {
  let end = 0
  let counts = ZERO_COUNTS
  let hash: HashSum = 0n
  return {
    async write(nextOffset, { kind, columns = BRONZE_COLUMNS, hash: wrong, old } = {}) {
      const range = { firstOffset: end, nextOffset }
      const records = kind ? [] : Array.from({ length: nextOffset - end }, (_, i) => recordAt(end + i))
      for (const record of records) hash = addHash(hash, rawHash({ ...ID, offset: record.offset }, record))
      counts = addCounts(counts, kind ? { hole: nextOffset - end } : { ok: records.length })
      const times = { minEventTime: null, maxEventTime: null }
      const newest = old ? {} : { maxTimestamp: records.at(-1)?.timestamp ?? null }
      const books = { rows: records.length, counts, hash: wrong ?? formatHash(hash), highest: {} }
      const footer: ChainFooter = { ...ID, kind: kind ?? 'records', ...range, ...books, ...times, ...newest }
      const rows = records.map((record) => [...bronzeRow({ ...ID, offset: record.offset }, record), 'more'])
      const keyValues = formatChainFooter(footer)
      const created = await store.create(chainKey(ID, end), writeParquet({ columns, rows, keyValues }))
      if (created === 'exists') throw new Error(`the chain was written beyond ${end}`)
      end = nextOffset
    },
  }
}

/** Every record that readers of bronze get, and whether ranges were shown as holes. */
export async function readAll(store: ObjectStore): Promise<{ records: KafkaRecord[]; holes: number[][] }> {
  const records: KafkaRecord[] = []
  const holes: number[][] = []
  let expected: number | null = null
  for await (const batch of readBronzeRecords(store, { ...ID, from: 0, to: Number.MAX_SAFE_INTEGER })) {
    if (batch.firstOffset !== (expected ??= batch.firstOffset)) throw new Error(`no batch begins at ${expected}`)
    expected = batch.nextOffset
    if (batch.hole) holes.push([batch.firstOffset, batch.nextOffset])
    records.push(...batch.records)
  }
  return { records, holes }
}

export async function keysOf(store: ObjectStore): Promise<string[]> {
  const keys: string[] = []
  for await (const key of store.list(chainPrefix(ID)))
    keys.push(key.slice(chainPrefix(ID).length).replace(/0{16,}/g, ''))
  return keys
}
