import { expect, it } from 'vitest'
import {
  type BatchDecoder,
  DECODED_BYTES_PER_PARTITION,
  decodeSlice,
  type FetchDecoder,
  nextWireBytes,
  type Slice,
  WIRE_BYTES,
} from '../../../src/kafka/fetch-slices.ts'

const WIRE_BATCH = 100
const RECORD = 1000

/** A partition of a fetch: `batches` batches of a hundred bytes on the wire, each one record of a thousand bytes. */
function fetched(batches: number): {
  decoder: FetchDecoder
  decoded: () => number
  how: Parameters<typeof decodeSlice>[1]
} {
  const bytes = Buffer.alloc(batches * WIRE_BATCH)
  bytes.writeInt8(2, 16)
  let decoded = 0
  const decodeBatch: BatchDecoder = (decoder) => {
    decoder.readBytes(WIRE_BATCH)
    decoded++
    return Promise.resolve({ records: [{ key: null, value: Buffer.alloc(RECORD), headers: [] }] })
  }
  const reader = (source: Buffer): FetchDecoder & { offset: number } => ({
    offset: 0,
    readInt32: () => source.length,
    canReadBytes(n) {
      return this.offset + n <= source.length
    },
    readBytes(n) {
      this.offset += n
      return source.subarray(this.offset - n, this.offset)
    },
  })
  return { decoder: reader(bytes), decoded: () => decoded, how: { open: reader, decodeBatch, limit: 5 * RECORD } }
}

it('decodes no more batches than the limit lets it, and says that it left some', async () => {
  const { decoder, decoded, how } = fetched(1000)
  const slice = await decodeSlice(decoder, how)
  expect([slice.length, decoded(), slice.cut, slice.wireBytes]).toEqual([5, 5, true, 500])
})

it('decodes all of a fetch that fits, and one batch however large it is', async () => {
  const small = fetched(3)
  const all = await decodeSlice(small.decoder, small.how)
  expect([all.length, all.cut]).toEqual([3, false])
  const large = fetched(3)
  expect(await decodeSlice(large.decoder, { ...large.how, limit: 1 })).toHaveLength(1)
})

it('asks for as much as is sure to be decoded at once', () => {
  const slice = (wireBytes: number, decodedBytes: number, cut: boolean): Slice =>
    Object.assign([], { wireBytes, decodedBytes, cut })
  // 64 : 1
  expect(nextWireBytes(WIRE_BYTES.most, slice(65_536, DECODED_BYTES_PER_PARTITION, true))).toBe(65_536)
  expect(nextWireBytes(WIRE_BYTES.most, slice(10, DECODED_BYTES_PER_PARTITION, true))).toBe(WIRE_BYTES.least)
  expect(nextWireBytes(65_536, slice(65_536, 70_000, false))).toBe(131_072)
  expect(nextWireBytes(WIRE_BYTES.most, slice(1_000_000, 1_000_000, false))).toBe(WIRE_BYTES.most)
  expect(nextWireBytes(50_000, [])).toBe(50_000)
})
