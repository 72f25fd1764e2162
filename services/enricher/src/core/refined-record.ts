import { addHash, type HashSum, refinedHash, refinedHashOf } from '@mesh/shared/core/books'
import { formatMeshSrc, formatOrigin, MAIN_LANE, PARKED_LANE } from '@mesh/shared/core/coordinate'
import {
  header,
  type RecordHeader,
  type RecordToSend,
  recordBytes,
  shortTextBytes,
  textBytes,
} from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { Source } from './arrival.ts'
import { meshSrcBytes } from './src-bytes.ts'

/** One output: framed Avro, or null for a delete. */
export type OutputValue = { readonly subKey: string | null; readonly value: Uint8Array | null }

export type RefinedFrom = {
  readonly source: Source
  readonly eventId: string
  readonly eventTime: string
  /** The `mesh-code` header, made once per bundle. */
  readonly codeHeader: RecordHeader
  readonly joins: string | null
}

/** Confluent framing: 0x00 and the schema id, which is the registry's and not the content's. */
const FRAME_BYTES = 5

/** The records of one raw record's outputs, index = position, and the sum of their hashes. */
export function refinedRecords(
  values: readonly OutputValue[],
  { source, eventId, eventTime, codeHeader, joins }: RefinedFrom,
): { records: RecordToSend[]; hash: HashSum } {
  const { at, record } = source
  const shared = sharedHeaders(record.headers, eventId, eventTime)
  shared.push(codeHeader)
  if (joins !== null) shared.push({ name: HEADER.joins, value: shortTextBytes(joins) })
  const records: RecordToSend[] = []
  let hash: HashSum = 0n
  for (let index = 0; index < values.length; index++) {
    const { subKey, value } = values[index]!
    const src = { lane: MAIN_LANE, topicId: at.topicId, partition: at.partition, offset: at.offset, index }
    const key = subKey === null ? record.key : subKeyBytes(record.key, subKey)
    const srcHeader = { name: HEADER.src, value: meshSrcBytes(src) }
    const own = refinedHashOf(srcHeader.value, key, value, FRAME_BYTES)
    hash = index === 0 ? own : addHash(hash, own)
    // The last output, nearly always the only one, needs no copy.
    const headers = index === values.length - 1 ? shared : [...shared]
    headers.push(srcHeader)
    records.push({ partition: at.partition, key, value, headers, timestamp: record.timestamp })
  }
  return { records, hash }
}

/**
 * The outputs of a released record in lane `parked`, from what they would be in main. Each has a sequence number of its own, from
 * `first` on; which output of which raw record it is says `mesh-origin`.
 */
export function releasedRecords(
  records: readonly RecordToSend[],
  { at, first }: { at: Source['at']; first: number },
): { records: RecordToSend[]; hash: HashSum } {
  let hash: HashSum = 0n
  const released = records.map((record, index): RecordToSend => {
    const src = { lane: PARKED_LANE, topicId: at.topicId, partition: at.partition, offset: first + index, index: 0 }
    hash = addHash(hash, refinedHash(src, record.key, payloadOf(record.value)))
    return {
      ...record,
      headers: [
        ...record.headers.filter(({ name }) => name !== HEADER.src),
        header(HEADER.src, formatMeshSrc(src)),
        header(HEADER.origin, formatOrigin({ ...at, index })),
      ],
    }
  })
  return { records: released, hash }
}

/** The headers a raw record came with: `mesh-*` is the mesh's own, and what arrives under it is a forgery or a replay's. */
export function ownHeaders(headers: readonly RecordHeader[]): RecordHeader[] {
  return headers.filter((h) => !isOwn(h.name))
}

/** The first letter tells most of them apart. */
const isOwn = (name: string): boolean => name.charCodeAt(0) === LETTER_M && name.startsWith('mesh-')
const LETTER_M = 0x6d

/** The headers that every output of a record has, its id and time among them. */
function sharedHeaders(headers: readonly RecordHeader[], eventId: string, eventTime: string): RecordHeader[] {
  const shared: RecordHeader[] = []
  let hasId = false
  let hasTime = false
  for (const one of headers) {
    const { name } = one
    if (isOwn(name)) continue
    if (name === 'ce_id') hasId = true
    else if (name === 'ce_time') hasTime = true
    shared.push(one)
  }
  if (!hasId) shared.push(header('ce_id', eventId))
  if (!hasTime) shared.push(header('ce_time', eventTime))
  return shared
}

/** The payload that a refined record's hash is over. */
export function payloadOf(value: Uint8Array | null): Uint8Array | null {
  return value === null ? null : value.subarray(FRAME_BYTES)
}

function subKeyBytes(key: Uint8Array | null, subKey: string): Uint8Array {
  return Buffer.concat([key ?? Buffer.alloc(0), textBytes(`/${subKey}`)])
}

export function totalBytes(records: readonly RecordToSend[]): number {
  let bytes = 0
  for (const record of records) bytes += recordBytes(record)
  return bytes
}
