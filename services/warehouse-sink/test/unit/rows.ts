import { refinedHash } from '@mesh/shared/core/books'
import { MAIN_LANE, type MeshSrc } from '@mesh/shared/core/coordinate'
import { type KafkaRecord, textBytes } from '@mesh/shared/core/record'
import type { Column, RefinedRow } from '@mesh/shared/schema/port'
import { landingTable } from '../../src/core/landing-table.ts'
import type { LandingTable } from '../../src/core/ports.ts'

export const COLUMNS: readonly Column[] = [
  { name: 'id', type: { kind: 'string' }, nullable: false },
  { name: 'distance', type: { kind: 'bigint' }, nullable: true },
]
export const TABLE: LandingTable = landingTable('flights', 1, 'FLIGHTS', COLUMNS)

export const RAW_TOPIC_ID = 'raw-topic-id'

/** A row whose source is raw offset `rawOffset`; `overrides` win. */
export function rowAt(rawOffset: number, overrides: Partial<RefinedRow> = {}, partition = 0): RefinedRow {
  const src: MeshSrc = { lane: MAIN_LANE, topicId: RAW_TOPIC_ID, partition, offset: rawOffset, index: 0 }
  const key = overrides.key ?? `k${rawOffset % 3}`
  return {
    op: 'upsert',
    key,
    src,
    rawOffset,
    eventId: `e${rawOffset}`,
    eventTime: new Date(1_700_000_000_000 + rawOffset * 1000).toISOString(),
    schemaId: 7,
    hash: refinedHash(overrides.src ?? src, textBytes(key), textBytes(String(rawOffset))),
    version: 1,
    values: [`f${rawOffset}`, BigInt(rawOffset)],
    ...overrides,
  }
}

/** A refined record at `offset` that carries the output of a raw record. */
export function refinedRecord(offset: number, partition: number, rawOffset: number): KafkaRecord {
  return { offset, timestamp: 0, key: textBytes('k'), value: textBytes(`${partition}/${rawOffset}`), headers: [] }
}
