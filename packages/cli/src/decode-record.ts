import { bytesText, type KafkaRecord, type RecordBatch } from '@mesh/shared/core/record'
import type { AvroCodec } from '@mesh/shared/schema/port'

/** A record as a person reads it. */
export type TailedRecord = {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** RFC 3339. */
  readonly timestamp: string
  readonly key: string | null
  /** Decoded Avro, parsed JSON, else text; null for a tombstone. */
  readonly value: unknown
  /** The last value of each name. */
  readonly headers: Readonly<Record<string, string | null>>
}

const FRAME = 0x00

/** Confluent-framed Avro through the registry, JSON as JSON, anything else as text. */
export async function decodeRecord(codec: AvroCodec, batch: RecordBatch, record: KafkaRecord): Promise<TailedRecord> {
  return {
    topic: batch.topic,
    partition: batch.partition,
    offset: record.offset,
    timestamp: new Date(record.timestamp).toISOString(),
    key: record.key === null ? null : bytesText(record.key),
    value: record.value === null ? null : jsonSafe(await decodeValue(codec, record.value)),
    headers: Object.fromEntries(
      record.headers.map(({ name, value }) => [name, value === null ? null : bytesText(value)]),
    ),
  }
}

async function decodeValue(codec: AvroCodec, value: Uint8Array): Promise<unknown> {
  if (value[0] === FRAME && value.byteLength > 5) return (await codec.decode(value)).record
  const text = bytesText(value)
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** int64 beyond 2^53 as text, bytes as base64. */
export function jsonSafe(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_key, field: unknown) => {
      if (typeof field === 'bigint') return field.toString()
      return field instanceof Uint8Array ? Buffer.from(field).toString('base64') : field
    }),
  )
}
