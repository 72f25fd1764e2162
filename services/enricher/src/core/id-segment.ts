import { crc32 } from 'node:zlib'
import { ENTRY_WORDS } from './id-table.ts'

/** The ids noted for a range of source offsets: immutable, in order of their first word. */
export type IdSegment = {
  /** What the ids were noted under: another identity makes the segment worthless. */
  readonly identity: string
  /** Source offsets [from, to). */
  readonly from: number
  readonly to: number
  /** Where the oldest segment began that was needed beside it: with a later one missing at the front, ids are missing. */
  readonly oldest: number
  /** Raw time at `to`: no id in here is younger. Null before the first record. */
  readonly rawTime: number | null
  /** `ENTRY_WORDS` words each. */
  readonly entries: Uint32Array
}

const MAGIC = 'MESHIDS1'
const HEADER_AT = 16
const CRC_AT = 12
const ENTRY_BYTES = ENTRY_WORDS * 4

/** Magic, header length, CRC-32 of all that follows, header as JSON, entries. Little-endian, as every machine that Node runs on. */
export function encodeSegment({ entries, ...header }: IdSegment): Uint8Array {
  const text = JSON.stringify({ ...header, count: entries.length / ENTRY_WORDS })
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const bytes = Buffer.concat([
    Buffer.alloc(HEADER_AT),
    padded,
    Buffer.from(entries.buffer, entries.byteOffset, entries.byteLength),
  ])
  bytes.write(MAGIC, 'latin1')
  bytes.writeUInt32LE(padded.length, MAGIC.length)
  bytes.writeUInt32LE(crc32(bytes.subarray(HEADER_AT)), CRC_AT)
  return bytes
}

/** The segment and where its entries begin, or null when the bytes are not all that was written: torn, cut short, or something else. */
export function decodeSegment(file: Uint8Array): (IdSegment & { readonly entriesAt: number }) | null {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  if (bytes.length < HEADER_AT || bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) return null
  if (bytes.readUInt32LE(CRC_AT) !== crc32(bytes.subarray(HEADER_AT))) return null
  const entriesAt = HEADER_AT + bytes.readUInt32LE(MAGIC.length)
  if (entriesAt > bytes.length) return null
  const { count, ...header } = JSON.parse(bytes.toString('utf8', HEADER_AT, entriesAt)) as Omit<
    IdSegment,
    'entries'
  > & {
    count: number
  }
  if (bytes.length - entriesAt !== count * ENTRY_BYTES) return null
  // A copy, because a view of words must be aligned.
  const entries = new Uint32Array(new Uint8Array(bytes.subarray(entriesAt)).buffer)
  return { ...header, entries, entriesAt }
}
