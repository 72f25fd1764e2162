import { isUtf8 } from 'node:buffer'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { type KafkaRecord, type RecordHeader, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { RESERVED_HEADER_PREFIXES } from '@mesh/shared/core/topics'
import { buildRecord, buildTombstone, type RecordContext } from './build-record.ts'
import { NO_ATTRIBUTES } from './event-attributes.ts'
import type { IngestStream } from './ports.ts'

/** A record of a foreign topic with its value as an event; null = a delete. */
export type ForeignRecord = {
  readonly record: KafkaRecord
  readonly value: Uint8Array | null
  /** The foreign key as text, null = none. */
  readonly key: string | null
  /** The value could not be decoded: it goes on as it came, for the enricher to dead-letter. */
  readonly undecoded: boolean
}

export type ForeignBuild = {
  readonly stream: IngestStream
  readonly source: string
  readonly topic: string
  readonly partition: number
  readonly receivedAt: number
}

/**
 * The raw record of a foreign one. Event id = the contract's, else `<source>:<topic>:<partition>:<offset>`; key = the contract's, else
 * the foreign key; event time = the contract's, else the foreign timestamp. Headers stay, but for those that are the mesh's own.
 * @throws MeshError MESH_SOURCE_EVENT
 */
export function buildForeign(foreign: ForeignRecord, build: ForeignBuild): RecordToSend {
  const { record, value, key } = foreign
  const eventId = `${build.source}:${build.topic}:${build.partition}:${record.offset}`
  const { contract, partitions, check } = build.stream
  const context: RecordContext = {
    contract: foreign.undecoded ? { ...contract, key: [], eventId: null, eventTime: null } : contract,
    partitions,
    check: foreign.undecoded ? null : check,
    attributes: {
      ...NO_ATTRIBUTES,
      source: `/sources/${build.source}/${build.topic}`,
      time: new Date(Math.max(0, record.timestamp)).toISOString(),
    },
    idFor: () => eventId,
    keyFor: () => key,
    kept: keptHeaders(record.headers),
    receivedAt: build.receivedAt,
  }
  try {
    if (value === null) return buildTombstone(key ?? eventId, eventId, context)
    return buildRecord(0, value, context).record
  } catch (error) {
    if (!isMeshError(error)) throw error
    const place = `${build.topic}/${build.partition}@${record.offset}`
    throw new MeshError('MESH_SOURCE_EVENT', `${error.message} (${error.code})`, { place, cause: error })
  }
}

/** Bytes as the JSON event `{"bytes": <base64>}`. */
export const wrapBytes = (value: Uint8Array): Uint8Array =>
  textBytes(JSON.stringify({ bytes: Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') }))

export function keyText(key: Uint8Array | null): string | null {
  if (key === null) return null
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength)
  return isUtf8(bytes) ? bytes.toString('utf8') : bytes.toString('base64')
}

/** Without what the mesh writes itself: its own, Connect's, and CloudEvents attributes, which would stand beside the record's. */
function keptHeaders(headers: readonly RecordHeader[]): RecordHeader[] {
  const own = [...RESERVED_HEADER_PREFIXES, 'ce_', 'content-type']
  return headers.filter(({ name }) => !own.some((prefix) => name.toLowerCase().startsWith(prefix)))
}
