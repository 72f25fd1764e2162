import { pipeline, type Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import { isMeshError, MeshError } from '../core/errors.ts'

/** Decoded bytes per encoded byte that are taken for honest data, once a body is larger than a page. */
const MAX_RATIO = 100
const RATIO_FROM_BYTES = 1_048_576

/**
 * Reads a response's body and decodes it as it comes. The bound is on what comes out, so a small body that unfolds into a large
 * one ends at the bound; reading ends by destroying the source.
 * @throws MeshError MESH_HTTP_TOO_LARGE, MESH_HTTP_ENCODING
 */
export async function readDecodedBody(
  source: Readable,
  encoding: string | undefined,
  maxBytes: number,
): Promise<Uint8Array> {
  const decoder = decoderOf(encoding)
  const chunks: Uint8Array[] = []
  let encoded = 0
  let decoded = 0
  source.on('data', (chunk: Uint8Array) => (encoded += chunk.byteLength))
  source.pause()
  const stream = decoder === null ? source : pipeline(source, decoder, () => {})
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      decoded += chunk.byteLength
      if (decoded > maxBytes) throw tooLarge(`the answer has more than ${maxBytes} bytes`)
      if (decoded > RATIO_FROM_BYTES && decoded > encoded * MAX_RATIO && decoder !== null) {
        throw tooLarge(`the answer unfolds to more than ${MAX_RATIO} times its size`)
      }
      chunks.push(chunk)
    }
  } catch (error) {
    source.destroy()
    if (isMeshError(error) || !isZlibError(error)) throw error
    throw new MeshError('MESH_HTTP_ENCODING', `the answer is not valid ${encoding}`, { cause: error })
  }
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, decoded)
}

function decoderOf(encoding: string | undefined): Transform | null {
  switch (encoding?.trim().toLowerCase() ?? '') {
    case '':
    case 'identity':
      return null
    case 'gzip':
    case 'x-gzip':
      return createGunzip()
    case 'br':
      return createBrotliDecompress()
    case 'deflate':
      return createInflate()
    default:
      throw new MeshError('MESH_HTTP_ENCODING', 'the answer comes in an encoding that was not asked for')
  }
}

/** Codes of zlib and of brotli's decoder. */
const isZlibError = (error: unknown): boolean =>
  /^(Z_|ERR__ERROR_|ERR_BROTLI)/.test((error as { code?: string }).code ?? '')

const tooLarge = (text: string): MeshError => new MeshError('MESH_HTTP_TOO_LARGE', text)
