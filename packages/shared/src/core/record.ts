import { Buffer } from 'node:buffer'

/** A header as it lies on a record. Null and empty differ; a name may repeat, and the order within a name is kept. */
export type RecordHeader = { readonly name: string; readonly value: Uint8Array | null }

/** A record read from a topic. Offsets are safe integers: the adapter refuses anything above 2^53. Timestamps are epoch ms. */
export type KafkaRecord = {
  readonly offset: number
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
}

/** A record to write. The partition is always explicit; timestamp defaults to the time of writing. */
export type RecordToSend = {
  readonly partition: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
  readonly timestamp?: number
}

/**
 * Records of one partition in offset order. Covers [firstOffset, nextOffset): offsets of control and aborted records lie
 * inside the range and have no record, so neighbouring batches tile.
 */
export type RecordBatch = {
  readonly topic: string
  readonly topicId: string
  readonly partition: number
  readonly firstOffset: number
  readonly nextOffset: number
  readonly records: readonly KafkaRecord[]
}

const encoder = new TextEncoder()

export function textBytes(text: string): Uint8Array {
  return encoder.encode(text)
}

/** UTF-8 as it is: a leading byte order mark stays, so that two different keys never have one text. */
export function bytesText(bytes: Uint8Array): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // Without an encoding to look up: UTF-8 is the default.
  return buffer.toString()
}

/** UTF-8 of a short text, which is nearly always ASCII: a loop takes a third of the time of the call into native code. */
export function shortTextBytes(text: string): Uint8Array {
  const { length } = text
  const bytes = Buffer.allocUnsafe(length)
  for (let i = 0; i < length; i++) {
    const c = text.charCodeAt(i)
    if (c > 0x7f) return Buffer.from(text)
    bytes[i] = c
  }
  return bytes
}

export function header(name: string, value: string): RecordHeader {
  return { name, value: encoder.encode(value) }
}

/** The last value of a header as text, or null when absent or null. */
export function headerText(headers: readonly RecordHeader[], name: string): string | null {
  for (let i = headers.length - 1; i >= 0; i--) {
    const h = headers[i]!
    if (h.name === name) return h.value === null ? null : bytesText(h.value)
  }
  return null
}

/** Bytes a record takes in memory and, nearly, on the wire. */
export function recordBytes(record: {
  key: Uint8Array | null
  value: Uint8Array | null
  headers: readonly RecordHeader[]
}): number {
  let bytes = 32 + (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0)
  for (const h of record.headers) bytes += h.name.length + (h.value?.byteLength ?? 0) + 4
  return bytes
}
