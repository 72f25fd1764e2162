import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { lz4Compress, lz4Decompress, snappyCompress, snappyDecompress } from '@platformatic/wasm-utils'
import type * as KafkaJs from 'kafkajs'
import { MeshError } from '../core/errors.ts'
import { lz4DecodedBytes, snappyDecodedBytes } from './decoded-size.ts'
import { MAX_DECODED_BATCH_BYTES } from './fetch-slices.ts'
import { decodeXerial } from './xerial-snappy.ts'

type Registry = Pick<typeof KafkaJs, 'CompressionTypes' | 'CompressionCodecs'>

/**
 * All of Kafka's codecs; kafkajs has gzip only, and a consumer ends at the first batch of another. Each refuses a record batch that
 * unpacks to more than `most` bytes, with MESH_KAFKA_BATCH_TOO_LARGE and before it takes the memory.
 */
export function registerCodecs(
  { CompressionTypes, CompressionCodecs }: Registry,
  most: number = MAX_DECODED_BATCH_BYTES,
): void {
  const codec = (compress: (bytes: Buffer) => Uint8Array, decompress: (bytes: Buffer) => Uint8Array) => () => ({
    compress: (encoder: { buffer: Buffer }) => Promise.resolve(asBuffer(compress(encoder.buffer))),
    decompress: (bytes: Buffer) => Promise.resolve(asBuffer(decompress(bytes))),
  })
  const bounded =
    (unzip: (bytes: Buffer, options: { maxOutputLength: number }) => Buffer) =>
    (bytes: Buffer): Buffer => {
      try {
        return unzip(bytes, { maxOutputLength: most })
      } catch (error) {
        throw (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE' ? tooLarge(most) : error
      }
    }

  function unlz4(bytes: Buffer): Uint8Array {
    if (lz4DecodedBytes(bytes, most) > most) throw tooLarge(most)
    return lz4Decompress(bytes)
  }

  function unsnappy(bytes: Buffer): Uint8Array {
    let left = most
    return decodeXerial(bytes, (block) => {
      left -= snappyDecodedBytes(block)
      if (left < 0) throw tooLarge(most)
      return snappyDecompress(block)
    })
  }

  CompressionCodecs[CompressionTypes.GZIP] = codec(gzipSync, bounded(gunzipSync))
  CompressionCodecs[CompressionTypes.ZSTD] = codec(zstdCompressSync, bounded(zstdDecompressSync))
  CompressionCodecs[CompressionTypes.LZ4] = codec(lz4Compress, unlz4)
  CompressionCodecs[CompressionTypes.Snappy] = codec(snappyCompress, unsnappy)
}

function tooLarge(most: number): MeshError {
  const error = new MeshError('MESH_KAFKA_BATCH_TOO_LARGE', `a record batch unpacks to more than ${most} bytes`)
  // kafkajs would unpack it again and again before it gives up.
  return Object.assign(error, { retriable: false })
}

/** kafkajs treats anything but a Buffer as text. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
