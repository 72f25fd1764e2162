import { gzipSync, zstdCompressSync } from 'node:zlib'
import { lz4Compress, snappyCompress } from '@platformatic/wasm-utils'
import { describe, expect, it } from 'vitest'
import { lz4DecodedBytes, snappyDecodedBytes } from '../../../src/kafka/decoded-size.ts'
import { registerCodecs } from '../../../src/kafka/kafkajs-codecs.ts'

const MOST = 1_000_000
const CompressionTypes = { None: 0, GZIP: 1, Snappy: 2, LZ4: 3, ZSTD: 4 } as const
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0, 0, 0, 0, 1, 0, 0, 0, 1])

type Codec = { decompress(bytes: Buffer): Promise<Buffer> }
const codecs: Record<number, () => Codec> = {}
registerCodecs({ CompressionTypes, CompressionCodecs: codecs as never } as never, MOST)
const decompress = (type: keyof typeof CompressionTypes, bytes: Uint8Array): Promise<Buffer> =>
  Promise.resolve().then(() => codecs[CompressionTypes[type]]!().decompress(Buffer.from(bytes)))

const xerial = (...blocks: Uint8Array[]): Buffer =>
  Buffer.concat([XERIAL, ...blocks.flatMap((block) => [int32(block.length), block])])
const int32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(n)
  return bytes
}
const zeros = (n: number): Buffer => Buffer.alloc(n)

const WAYS: readonly (readonly [keyof typeof CompressionTypes, string, (bytes: Buffer) => Uint8Array])[] = [
  ['GZIP', 'gzip', gzipSync],
  ['ZSTD', 'zstd', zstdCompressSync],
  ['LZ4', 'lz4', lz4Compress],
  ['LZ4', 'lz4 in two frames', (b) => Buffer.concat([lz4Compress(b.subarray(1)), lz4Compress(b.subarray(0, 1))])],
  ['Snappy', 'plain snappy', snappyCompress],
  ['Snappy', 'snappy in blocks', (b) => xerial(...blocksOf(b, 32_768).map((block) => snappyCompress(block)))],
]

function blocksOf(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
}

describe.each(WAYS)('%s: %s', (type, _way, compress) => {
  it('refuses a batch that unpacks to more than the bound by name', async () => {
    const bomb = compress(zeros(MOST + 1))
    expect(bomb.length).toBeLessThan(MOST / 10)
    await expect(decompress(type, bomb)).rejects.toMatchObject({ code: 'MESH_KAFKA_BATCH_TOO_LARGE', retriable: false })
  })

  it('unpacks one that just fits', async () => {
    const fitting = Buffer.from(Array.from({ length: MOST }, (_, i) => (i * i) % 251))
    const unpacked = await decompress(type, compress(fitting))
    // A decoder that ends at a frame's end gives less, never more.
    expect(unpacked.length).toBeGreaterThanOrEqual(MOST - 1)
    expect(unpacked.length).toBeLessThanOrEqual(MOST)
  })
})

it('refuses what only claims to be large before it takes the memory', async () => {
  const claims4GiB = Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0])
  expect(snappyDecodedBytes(claims4GiB)).toBe(2 ** 32 - 1)
  await expect(decompress('Snappy', claims4GiB)).rejects.toMatchObject({ code: 'MESH_KAFKA_BATCH_TOO_LARGE' })
  const small = xerial(snappyCompress(zeros(10)), claims4GiB)
  await expect(decompress('Snappy', small)).rejects.toMatchObject({ code: 'MESH_KAFKA_BATCH_TOO_LARGE' })
})

it.each([0, 1, 14, 15, 16, 300, 70_000, 999_999])('knows the size of lz4 frames that unpack to %i bytes', (size) => {
  for (const bytes of [zeros(size), Buffer.from(Array.from({ length: size }, (_, i) => (i * 7919) % 256))]) {
    expect(lz4DecodedBytes(Buffer.from(lz4Compress(bytes)), MOST)).toBe(size)
  }
})

it('leaves what is no frame, or is cut off, to the decoder to refuse', async () => {
  expect(lz4DecodedBytes(Buffer.from('not lz4 at all'), MOST)).toBe(0)
  const whole = Buffer.from(lz4Compress(zeros(100_000)))
  expect(lz4DecodedBytes(whole.subarray(0, 9), MOST)).toBeLessThanOrEqual(100_000)
  await expect(decompress('LZ4', Buffer.from('not lz4 at all'))).rejects.toThrow()
  expect(snappyDecodedBytes(Buffer.alloc(0))).toBe(0)
})
