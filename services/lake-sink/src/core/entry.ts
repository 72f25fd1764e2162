import type { HashSum } from '@mesh/shared/core/books'
import type { MeshSrc } from '@mesh/shared/core/coordinate'
import type { KafkaRecord } from '@mesh/shared/core/record'
import type { ParquetColumn } from '@mesh/shared/lake/parquet-values'

/** A record on its way into a file. */
export type Entry = {
  readonly offset: number
  /** About what it holds in memory. */
  readonly bytes: number
  /** Values in the order of the source's columns. */
  readonly row: readonly unknown[]
  readonly hash: HashSum
  /** Epoch ms. */
  readonly eventTime: number | null
  /** Kafka's, epoch ms. */
  readonly timestamp: number
  /** Set where the topic may hold a record twice (refined): decides whether it counts as redelivered. */
  readonly src: MeshSrc | null
}

/** Turns the records of one partition into entries. */
export type EntrySource = {
  /** Columns of the entries read since the last change. */
  readonly columns: () => readonly ParquetColumn[]
  /** True when the record asks for other columns: what was read before it goes into a file of its own. */
  readonly changes: (record: KafkaRecord) => boolean
  readonly read: (record: KafkaRecord) => Promise<Entry>
}

/** Memory of a row beside its bytes: an object per value. */
const BYTES_PER_VALUE = 48

export function entryBytes(recordBytes: number, columns: number): number {
  return recordBytes + BYTES_PER_VALUE * columns
}
