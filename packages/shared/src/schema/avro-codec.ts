import { Buffer } from 'node:buffer'
import { describeError, MeshError } from '../core/errors.ts'
import type { Reader } from './avro-reader.ts'
import { compileReader } from './avro-reader.ts'
import { parseAvsc } from './avro-schema.ts'
import type { Source } from './avro-source.ts'
import type { Writer } from './avro-writer.ts'
import { compileWriter, createSink, resetSink } from './avro-writer.ts'
import type { AvroCodec, SchemaRegistry } from './port.ts'
import { ValueError } from './value-model.ts'

/** Confluent framing: magic byte 0, then the schema id as int32 big-endian. */
export const FRAME_BYTES = 5

export type Decoded = { readonly schemaId: number; readonly record: Record<string, unknown> }

/** The codec with its synchronous paths, for loops over many records. */
export type FastAvroCodec = AvroCodec & {
  /** Decodes at once when the writer's schema is known already; null = use `decode`. @throws MESH_DECODE_AVRO */
  decodeSync(framed: Uint8Array, readerAvsc?: string): Decoded | null
  /** Fetches and compiles schemas before a batch. @throws MESH_SCHEMA_UNKNOWN, MESH_REGISTRY_UNAVAILABLE */
  prepare(schemaIds: Iterable<number>): Promise<void>
}

/** Avro in Confluent framing and the mesh's value model. Writers and readers are compiled once per schema (pair). */
export function createAvroCodec(registry: Pick<SchemaRegistry, 'schemaById'>): FastAvroCodec {
  const writers = new Map<string, Writer>()
  const writerSchemas = new Map<number, string>()
  const readers = new Map<number, Map<string, Reader>>()
  const sink = createSink()
  const source: Source = { buf: Buffer.alloc(0), pos: 0, end: 0 }

  function encode(schemaId: number, avsc: string, record: unknown): Uint8Array {
    let write = writers.get(avsc)
    if (!write) {
      write = compileWriter(parseAvsc(avsc))
      writers.set(avsc, write)
    }
    resetSink(sink)
    sink.buf[0] = 0
    sink.buf.writeInt32BE(schemaId, 1)
    sink.pos = FRAME_BYTES
    try {
      write(sink, record)
    } catch (error) {
      throw invalidRecord(error)
    }
    const framed = Buffer.allocUnsafe(sink.pos)
    sink.buf.copy(framed, 0, 0, sink.pos)
    return framed
  }

  function decodeSync(framed: Uint8Array, readerAvsc?: string): Decoded | null {
    const schemaId = frameSchemaId(framed)
    const writerAvsc = writerSchemas.get(schemaId)
    if (writerAvsc === undefined) return null
    const reader = readers.get(schemaId)?.get(readerAvsc ?? '') ?? compile(schemaId, writerAvsc, readerAvsc)
    source.buf = asBuffer(framed)
    source.pos = FRAME_BYTES
    source.end = framed.length
    try {
      const record = reader(source) as Record<string, unknown>
      if (source.pos !== source.end)
        throw new ValueError(source.pos > source.end ? 'the bytes end too early' : 'bytes are left over')
      return { schemaId, record }
    } catch (error) {
      throw new MeshError('MESH_DECODE_AVRO', `decoding a record of schema ${schemaId}: ${describeError(error)}`, {
        cause: error,
      })
    }
  }

  async function decode(framed: Uint8Array, readerAvsc?: string): Promise<Decoded> {
    const schemaId = frameSchemaId(framed)
    if (!writerSchemas.has(schemaId)) await prepare([schemaId])
    return decodeSync(framed, readerAvsc)!
  }

  async function prepare(schemaIds: Iterable<number>): Promise<void> {
    for (const id of new Set(schemaIds)) {
      if (!writerSchemas.has(id)) writerSchemas.set(id, await registry.schemaById(id))
    }
  }

  function compile(schemaId: number, writerAvsc: string, readerAvsc: string | undefined): Reader {
    try {
      const writer = parseAvsc(writerAvsc)
      const reader = compileReader(writer, readerAvsc === undefined ? writer : parseAvsc(readerAvsc))
      const byReader = readers.get(schemaId) ?? new Map<string, Reader>()
      readers.set(schemaId, byReader.set(readerAvsc ?? '', reader))
      return reader
    } catch (error) {
      const message = `schema ${schemaId} cannot be read: ${describeError(error)}`
      throw new MeshError('MESH_DECODE_AVRO', message, { cause: error })
    }
  }

  return { encode, decode, decodeSync, prepare }
}

/** The schema id of a framed value. @throws MESH_DECODE_AVRO when it is not framed. */
export function frameSchemaId(framed: Uint8Array): number {
  if (framed.length < FRAME_BYTES || framed[0] !== 0) {
    throw new MeshError('MESH_DECODE_AVRO', 'the value is not in Confluent framing (0x00, schema id, Avro)')
  }
  return ((framed[1]! << 24) | (framed[2]! << 16) | (framed[3]! << 8) | framed[4]!) >>> 0
}

/** The Avro bytes without the frame: what hashes are taken over. A view, not a copy. */
export function framePayload(framed: Uint8Array): Uint8Array {
  frameSchemaId(framed)
  return framed.subarray(FRAME_BYTES)
}

/** The error of a record that its schema cannot hold: field path and reason, never the value. */
function invalidRecord(error: unknown): unknown {
  if (!(error instanceof ValueError)) return error
  const place = error.path.length > 0 ? `field ${error.path.join('.')}: ` : ''
  return new MeshError('MESH_REFINE_INVALID', `${place}${error.message}`)
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
