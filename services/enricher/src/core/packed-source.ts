import type { RecordHeader } from '@mesh/shared/core/record'
import type { Source } from './arrival.ts'

/** Four doubles: partition, offset and timestamp of the coordinate and the record. */
const NUMBERS_BYTES = 32
const LENGTH_BYTES = 4
const NULL_LENGTH = -1

/**
 * A record in one buffer of its own: apart, each header takes hundreds of bytes more than its text, and a view of a fetch would keep
 * the whole fetch. The topic id is not in it: a partition's records share one.
 */
export function packSource({ at, record }: Source): Buffer {
  const names = record.headers.map(({ name }) => Buffer.from(name))
  const parts: (Uint8Array | null)[] = [record.key, record.value]
  for (let i = 0; i < names.length; i++) parts.push(names[i]!, record.headers[i]!.value)
  const size = parts.reduce((sum, part) => sum + LENGTH_BYTES + (part?.byteLength ?? 0), NUMBERS_BYTES)
  const packed = Buffer.allocUnsafeSlow(size)
  let end = 0
  for (const number of [at.partition, at.offset, record.offset, record.timestamp]) {
    end = packed.writeDoubleLE(number, end)
  }
  for (const part of parts) {
    end = packed.writeInt32LE(part === null ? NULL_LENGTH : part.byteLength, end)
    if (part === null) continue
    packed.set(part, end)
    end += part.byteLength
  }
  return packed
}

/** The record that was packed; its bytes are views into `packed`. */
export function unpackSource(packed: Buffer, topicId: string): Source {
  const parts: (Buffer | null)[] = []
  for (let at = NUMBERS_BYTES; at < packed.length; ) {
    const length = packed.readInt32LE(at)
    at += LENGTH_BYTES
    parts.push(length === NULL_LENGTH ? null : packed.subarray(at, at + length))
    at += Math.max(0, length)
  }
  const headers: RecordHeader[] = []
  for (let i = 2; i < parts.length; i += 2) headers.push({ name: parts[i]!.toString('utf8'), value: parts[i + 1]! })
  const [partition, offset, own, timestamp] = [0, 8, 16, 24].map((at) => packed.readDoubleLE(at)) as Numbers
  return {
    at: { topicId, partition, offset },
    record: { offset: own, timestamp, key: parts[0]!, value: parts[1]!, headers },
  }
}

type Numbers = [number, number, number, number]
