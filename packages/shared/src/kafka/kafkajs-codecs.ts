import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { lz4Compress, lz4Decompress, snappyCompress, snappyDecompress } from '@platformatic/wasm-utils'
import type * as KafkaJs from 'kafkajs'
import { MAX_DECODED_BATCH_BYTES } from './fetch-slices.ts'
import { decodeXerial } from './xerial-snappy.ts'

/** All of Kafka's codecs; kafkajs has gzip only, and a consumer ends at the first batch of another. */
export function registerCodecs({ CompressionTypes, CompressionCodecs }: typeof KafkaJs): void {
  const codec = (compress: (bytes: Buffer) => Uint8Array, decompress: (bytes: Buffer) => Uint8Array) => () => ({
    compress: (encoder: { buffer: Buffer }) => Promise.resolve(asBuffer(compress(encoder.buffer))),
    decompress: (bytes: Buffer) => Promise.resolve(asBuffer(decompress(bytes))),
  })
  const bounded = { maxOutputLength: MAX_DECODED_BATCH_BYTES }
  CompressionCodecs[CompressionTypes.GZIP] = codec(gzipSync, (bytes) => gunzipSync(bytes, bounded))
  CompressionCodecs[CompressionTypes.ZSTD] = codec(zstdCompressSync, (bytes) => zstdDecompressSync(bytes, bounded))
  CompressionCodecs[CompressionTypes.LZ4] = codec(lz4Compress, lz4Decompress)
  CompressionCodecs[CompressionTypes.Snappy] = codec(snappyCompress, (bytes) => decodeXerial(bytes, snappyDecompress))
}

/** kafkajs treats anything but a Buffer as text. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
