import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { MeshError } from '@mesh/shared/core/errors'
import type { Lease } from '../core/admission.ts'

export type ReadBodyOptions = {
  /** Bound of the body as sent and of what gzip makes of it. */
  readonly maxBytes: number
  readonly gzip: boolean
  readonly lease: Lease
  readonly timeoutMs: number
}

/**
 * Reads a whole body and takes its bytes on the lease as they come. It stops at the first byte too many, and leaves the
 * connection open, so that the sender can be told.
 * @throws MeshError MESH_BODY_TOO_LARGE, MESH_BODY_INCOMPLETE, MESH_BODY_GZIP, MESH_GATEWAY_OVERLOADED
 */
export async function readBody(request: IncomingMessage, options: ReadBodyOptions): Promise<Uint8Array> {
  const { maxBytes } = options
  const declared = Number(request.headers['content-length'] ?? 0)
  if (declared > maxBytes) throw tooLarge(maxBytes)
  return options.gzip ? readGzip(request, options) : collect(request, request, options)
}

async function readGzip(request: IncomingMessage, options: ReadBodyOptions): Promise<Uint8Array> {
  const gunzip = createGunzip()
  let sent = 0
  const onChunk = (chunk: Uint8Array): void => {
    sent += chunk.byteLength
    if (sent > options.maxBytes) gunzip.destroy(tooLarge(options.maxBytes))
  }
  request.on('data', onChunk)
  request.pipe(gunzip)
  try {
    return await collect(gunzip, request, options)
  } finally {
    request.off('data', onChunk)
    request.unpipe(gunzip)
    gunzip.destroy()
  }
}

function collect(stream: Readable, request: IncomingMessage, options: ReadBodyOptions): Promise<Uint8Array> {
  const { lease, maxBytes, timeoutMs } = options
  const chunks: Uint8Array[] = []
  let size = 0
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      end(new MeshError('MESH_BODY_INCOMPLETE', `the body did not arrive within ${timeoutMs} ms`))
    }, timeoutMs)

    function end(error: Error | null): void {
      clearTimeout(timer)
      stream.off('data', onData).off('end', onEnd)
      request.off('close', onClose)
      // A late error (the gunzip of a body given up) has nobody to tell.
      if (error) reject(error)
      else resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size))
    }
    function onData(chunk: Uint8Array): void {
      size += chunk.byteLength
      if (size > maxBytes) return end(tooLarge(maxBytes))
      if (!lease.grow(chunk.byteLength)) return end(overloaded())
      chunks.push(chunk)
    }
    function onEnd(): void {
      end(null)
    }
    function onError(error: Error): void {
      if (error instanceof MeshError) end(error)
      else if (stream === request) onClose()
      else end(new MeshError('MESH_BODY_GZIP', 'the body is not valid gzip', { cause: error }))
    }
    function onClose(): void {
      if (request.readableEnded) return
      end(new MeshError('MESH_BODY_INCOMPLETE', 'the connection closed before the whole body was here'))
    }
    stream.on('data', onData).on('end', onEnd).on('error', onError)
    if (stream !== request) request.on('error', onClose)
    request.on('close', onClose)
  })
}

const tooLarge = (maxBytes: number): MeshError =>
  new MeshError('MESH_BODY_TOO_LARGE', `the body has more than ${maxBytes} bytes`)

const overloaded = (): MeshError =>
  new MeshError('MESH_GATEWAY_OVERLOADED', 'the gateway holds as many bytes as it may')
