import { type Coordinate, formatOrigin, parseOrigin } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { header, headerText, type KafkaRecord, type RecordToSend } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { Source } from './arrival.ts'
import { orderUnit } from './parked.ts'
import { ownHeaders } from './refined-record.ts'

/** `{timestamp, key, value}`: the raw record's time, and whether key and value are there or null. */
const PARKED_HEADER = 'mesh-parked'
const KEY_PREFIX = Buffer.from('parked/')
const EMPTY = new Uint8Array(0)

/** Key of a parked record on `mesh.state`: `parked/<record key>/<raw offset>`. */
export function parkedKey(recordKey: Uint8Array | null, offset: number): Uint8Array {
  return Buffer.concat([KEY_PREFIX, recordKey ?? EMPTY, Buffer.from(`/${offset}`)])
}

export function isParkedKey(key: Uint8Array | null): key is Uint8Array {
  return key !== null && KEY_PREFIX.equals(key.subarray(0, KEY_PREFIX.byteLength))
}

/** The raw offset that a parked key names. */
export function offsetOfKey(key: Uint8Array): number {
  return Number(Buffer.from(key.subarray(key.lastIndexOf(0x2f) + 1)).toString('latin1'))
}

/** The order unit of a parked record. */
export function unitOf(stored: KafkaRecord): string {
  const { key, offset } = identityOf(stored)
  return orderUnit(key, offset)
}

/** The record key within a parked key. */
function recordKeyOf(key: Uint8Array): Uint8Array {
  return key.subarray(KEY_PREFIX.byteLength, key.lastIndexOf(0x2f))
}

/** A null value is no tombstone here but a parked delete, so key and value are told apart from null by a header. */
export function parkedStateRecord({ at, record }: Source, parkedAtMs: number): RecordToSend {
  const { timestamp, key, value } = record
  return {
    partition: at.partition,
    key: parkedKey(key, at.offset),
    value: value ?? EMPTY,
    headers: [
      ...ownHeaders(record.headers),
      header(HEADER.origin, formatOrigin({ ...at, index: 0 })),
      header(PARKED_HEADER, JSON.stringify({ timestamp, key: key !== null, value: value !== null })),
    ],
    timestamp: parkedAtMs,
  }
}

export function parkedTombstone(partition: number, key: Uint8Array): RecordToSend {
  return { partition, key, value: null, headers: [] }
}

/** The coordinate of a parked record. @throws MeshError MESH_REFINE_STATE_LOST when it is not one of the enricher's */
export function parkedCoordinate(record: KafkaRecord): Coordinate {
  const { topicId, partition, offset } = parseOrigin(headerText(record.headers, HEADER.origin) ?? '')
  return { topicId, partition, offset }
}

/** The raw record as it was parked. */
export function readParked(stored: KafkaRecord): Source {
  const at = parkedCoordinate(stored)
  const { key, timestamp, hasValue } = identityOf(stored)
  const headers = stored.headers.filter(({ name }) => !name.startsWith('mesh-'))
  return { at, record: { offset: at.offset, timestamp, key, value: hasValue ? stored.value : null, headers } }
}

function identityOf(stored: KafkaRecord): {
  readonly offset: number
  readonly key: Uint8Array | null
  readonly timestamp: number
  readonly hasValue: boolean
} {
  const text = headerText(stored.headers, PARKED_HEADER)
  if (text === null || !isParkedKey(stored.key)) {
    throw new MeshError('MESH_REFINE_STATE_LOST', `the state record at ${stored.offset} is not readable`)
  }
  const was = JSON.parse(text) as { timestamp: number; key: boolean; value: boolean }
  return {
    offset: offsetOfKey(stored.key),
    key: was.key ? recordKeyOf(stored.key) : null,
    timestamp: was.timestamp,
    hasValue: was.value,
  }
}
