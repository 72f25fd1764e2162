import { gzipSync, zstdCompressSync } from 'node:zlib'
import { crc32c } from '@platformatic/kafka'
import { lz4Compress, snappyCompress } from '@platformatic/wasm-utils'
import type { RecordToSend } from '../core/record.ts'
import type { ProducerOptions } from './port.ts'

export type Compression = NonNullable<ProducerOptions['compression']>

export type BatchOptions = {
  readonly producerId: bigint
  readonly producerEpoch: number
  /** Sequence number of the first record, of this producer in this partition. */
  readonly firstSequence: number
  readonly compression: Compression
  /** Epoch ms, the timestamp of records that have none. */
  readonly now: number
}

const CODECS: Readonly<
  Record<Compression, { readonly bits: number; readonly compress: (bytes: Buffer) => Uint8Array }>
> = {
  none: { bits: 0, compress: (bytes) => bytes },
  gzip: { bits: 1, compress: (bytes) => gzipSync(bytes) },
  snappy: { bits: 2, compress: (bytes) => snappyCompress(bytes) },
  lz4: { bits: 3, compress: (bytes) => lz4Compress(bytes) },
  zstd: { bits: 4, compress: (bytes) => zstdCompressSync(bytes) },
}

// Offsets of the fields of a record batch, magic 2 (https://kafka.apache.org/documentation/#recordbatch).
const LENGTH = 8
const LEADER_EPOCH = 12
const MAGIC = 16
const CRC = 17
const ATTRIBUTES = 21
const LAST_OFFSET_DELTA = 23
const BASE_TIMESTAMP = 27
const MAX_TIMESTAMP = 35
const PRODUCER_ID = 43
const PRODUCER_EPOCH = 51
const BASE_SEQUENCE = 53
const COUNT = 57
const RECORDS = 61

const MAGIC_2 = 2
const NO_LEADER_EPOCH = -1
/** Below this many bytes a loop copies faster than a native call. */
const SHORT = 32
/** What stays below 31 bits when doubled. */
const LARGEST_FAST = 2 ** 29 - 1
const SMALLEST_FAST = -(2 ** 29)

/** A record batch of one partition, with the records in the given order. Pure: the same arguments give the same bytes. */
export function encodeRecordBatch(records: readonly RecordToSend[], options: BatchOptions): Buffer {
  const { now } = options
  const baseTimestamp = records[0]?.timestamp ?? now
  let maxTimestamp = baseTimestamp
  const names: HeaderNames = new Map()
  const sizes: number[] = []
  let total = RECORDS
  for (let i = 0; i < records.length; i++) {
    const timestamp = records[i]!.timestamp ?? now
    if (timestamp > maxTimestamp) maxTimestamp = timestamp
    const size = recordSize(records[i]!, { index: i, timestampDelta: timestamp - baseTimestamp, names })
    sizes.push(size)
    total += varIntSize(size) + size
  }
  const plain = Buffer.allocUnsafe(total)
  let at = RECORDS
  for (let i = 0; i < records.length; i++) {
    const timestampDelta = (records[i]!.timestamp ?? now) - baseTimestamp
    at = writeVarInt(plain, at, sizes[i]!)
    at = writeRecord(plain, at, records[i]!, { index: i, timestampDelta, names })
  }
  const { bits, compress } = CODECS[options.compression]
  const batch = bits === 0 ? plain : Buffer.concat([plain.subarray(0, RECORDS), compress(plain.subarray(RECORDS))])
  batch.fill(0, 0, LENGTH)
  batch.writeInt32BE(batch.length - LEADER_EPOCH, LENGTH)
  batch.writeInt32BE(NO_LEADER_EPOCH, LEADER_EPOCH)
  batch.writeInt8(MAGIC_2, MAGIC)
  batch.writeInt16BE(bits, ATTRIBUTES)
  batch.writeInt32BE(records.length - 1, LAST_OFFSET_DELTA)
  batch.writeBigInt64BE(BigInt(baseTimestamp), BASE_TIMESTAMP)
  batch.writeBigInt64BE(BigInt(maxTimestamp), MAX_TIMESTAMP)
  batch.writeBigInt64BE(options.producerId, PRODUCER_ID)
  batch.writeInt16BE(options.producerEpoch, PRODUCER_EPOCH)
  batch.writeInt32BE(options.firstSequence, BASE_SEQUENCE)
  batch.writeInt32BE(records.length, COUNT)
  batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES)), CRC)
  return batch
}

type HeaderNames = Map<string, Buffer>
type Place = { readonly index: number; readonly timestampDelta: number; readonly names: HeaderNames }

function recordSize({ key, value, headers }: RecordToSend, { index, timestampDelta, names }: Place): number {
  let size = 1 + varIntSize(timestampDelta) + varIntSize(index) + bytesSize(key) + bytesSize(value)
  size += varIntSize(headers.length)
  for (const header of headers) size += bytesSize(nameBytes(header.name, names)) + bytesSize(header.value)
  return size
}

function writeRecord(to: Buffer, start: number, record: RecordToSend, place: Place): number {
  to[start] = 0
  let at = writeVarInt(to, start + 1, place.timestampDelta)
  at = writeVarInt(to, at, place.index)
  at = writeBytes(to, at, record.key)
  at = writeBytes(to, at, record.value)
  at = writeVarInt(to, at, record.headers.length)
  for (const header of record.headers) {
    at = writeBytes(to, at, nameBytes(header.name, place.names))
    at = writeBytes(to, at, header.value)
  }
  return at
}

/** The names of a batch are few and repeat. */
function nameBytes(name: string, names: HeaderNames): Buffer {
  let bytes = names.get(name)
  if (bytes === undefined) {
    bytes = Buffer.from(name)
    names.set(name, bytes)
  }
  return bytes
}

function bytesSize(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varIntSize(bytes.length) + bytes.length
}

function writeBytes(to: Buffer, start: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarInt(to, start, -1)
  const { length } = bytes
  const at = writeVarInt(to, start, length)
  if (length < SHORT) for (let i = 0; i < length; i++) to[at + i] = bytes[i]!
  else to.set(bytes, at)
  return at + length
}

/** Zigzag puts small numbers of either sign into few bytes. Safe integers only: beyond 30 bits by arithmetic. */
function varIntSize(n: number): number {
  if (n >= 0 && n < 64) return 1
  let rest = n >= 0 ? n * 2 : n * -2 - 1
  let size = 1
  for (; rest >= 128; rest = Math.floor(rest / 128)) size++
  return size
}

function writeVarInt(to: Buffer, start: number, n: number): number {
  let at = start
  if (n >= SMALLEST_FAST && n <= LARGEST_FAST) {
    let bits = (n << 1) ^ (n >> 31)
    for (; bits > 127; bits >>= 7) to[at++] = (bits & 127) | 128
    to[at++] = bits
    return at
  }
  let rest = n >= 0 ? n * 2 : n * -2 - 1
  for (; rest >= 128; rest = Math.floor(rest / 128)) to[at++] = (rest % 128) + 128
  to[at++] = rest
  return at
}
