import { refinedHash } from '../core/books.ts'
import { MAIN_LANE, parseMeshSrc, parseOrigin } from '../core/coordinate.ts'
import { MeshError } from '../core/errors.ts'
import { formatInstant, parseInstant } from '../core/instant.ts'
import type { KafkaRecord } from '../core/record.ts'
import { bytesText, headerText } from '../core/record.ts'
import { HEADER } from '../core/topics.ts'
import type { FastAvroCodec } from './avro-codec.ts'
import { framePayload } from './avro-codec.ts'
import { createColumnReader } from './columns.ts'
import type { AvroCodec, RefinedRow } from './port.ts'

export type RowReaderOptions = {
  readonly codec: AvroCodec & Partial<Pick<FastAvroCodec, 'decodeSync'>>
  /** The schema whose columns the rows have; records of older schemas are resolved to it. */
  readonly readerAvsc: string
  readonly version: number
}

/**
 * Turns refined records into rows. A null value is a delete. Event id and time come from ce_id and ce_time; without them, or
 * where the time is unreadable, the mesh-src and the Kafka timestamp stand in. @throws MeshError MESH_DECODE_AVRO
 */
export function createRowReader({
  codec,
  readerAvsc,
  version,
}: RowReaderOptions): (record: KafkaRecord) => Promise<RefinedRow> {
  const readColumns = createColumnReader(readerAvsc)
  const deleted: readonly null[] = Object.freeze(readColumns({}) as null[])

  return async function readRow(record) {
    const source = headerText(record.headers, HEADER.src)
    if (source === null) throw new MeshError('MESH_DECODE_AVRO', 'the record has no mesh-src header')
    const src = parseMeshSrc(source)
    const payload = record.value === null ? null : framePayload(record.value)
    const decoded =
      record.value === null
        ? null
        : (codec.decodeSync?.(record.value, readerAvsc) ?? (await codec.decode(record.value, readerAvsc)))
    return {
      op: decoded === null ? 'delete' : 'upsert',
      key: record.key === null ? '' : bytesText(record.key),
      src,
      rawOffset: src.lane === MAIN_LANE ? src.offset : originOf(record),
      eventId: headerText(record.headers, 'ce_id') ?? source,
      eventTime: readableTime(headerText(record.headers, 'ce_time')) ?? formatInstant(record.timestamp),
      schemaId: decoded?.schemaId ?? null,
      hash: refinedHash(src, record.key, payload),
      version,
      values: decoded === null ? deleted : readColumns(decoded.record),
    }
  }
}

const readableTime = (text: string | null): string | null =>
  text === null || parseInstant(text) === null ? null : text

function originOf(record: KafkaRecord): number {
  const origin = headerText(record.headers, HEADER.origin)
  if (origin === null) throw new MeshError('MESH_DECODE_AVRO', 'the record has no mesh-origin header')
  return parseOrigin(origin).offset
}
