import { describeError, isMeshError, MeshError } from '@mesh/shared/core/errors'
import { at } from '@mesh/shared/core/json-pointer'
import { parseJson } from '@mesh/shared/core/json-text'
import type { GuardedHttp } from '@mesh/shared/runtime/guarded-http'
import { createAvroCodec, FRAME_BYTES } from '@mesh/shared/schema/avro-codec'
import { eventJson } from '../core/event-json.ts'
import { compileProtobuf, type ProtobufFile } from '../core/protobuf-decode.ts'

/** The registry that a foreign topic's records were written with. */
export type ForeignRegistry = {
  /**
   * A framed value (`0x00`, schema id, payload) as JSON.
   * @throws MeshError MESH_SOURCE_DECODE: these bytes will never be read. Others: the registry cannot say now, or is the wrong one.
   */
  readonly toJson: (framed: Uint8Array) => Promise<Uint8Array>
}

export type ForeignRegistryOptions = {
  readonly url: string
  readonly credential: { readonly user: string; readonly password: string } | null
  readonly http: GuardedHttp
}

type Found = {
  readonly schema: string
  readonly type: 'AVRO' | 'JSON' | 'PROTOBUF'
  readonly files: readonly ProtobufFile[]
}
type Decode = (framed: Uint8Array) => Promise<Uint8Array> | Uint8Array

const TIMEOUT_MS = 10_000
const MAX_SCHEMA_BYTES = 4_194_304
const MAX_REFERENCES = 100

export function createForeignRegistry({ url, credential, http }: ForeignRegistryOptions): ForeignRegistry {
  const decoders = new Map<number, Promise<Decode>>()

  async function ask(path: string): Promise<unknown> {
    const auth =
      credential === null ? null : Buffer.from(`${credential.user}:${credential.password}`).toString('base64')
    const answer = await http.request({
      url: `${url.replace(/\/+$/, '')}${path}`,
      method: 'GET',
      headers: { accept: 'application/json', ...(auth === null ? {} : { authorization: `Basic ${auth}` }) },
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_SCHEMA_BYTES,
    })
    if (answer.status === 404) throw new MeshError('MESH_SCHEMA_UNKNOWN', `the registry of the source has no ${path}`)
    if (answer.status !== 200) {
      throw new MeshError('MESH_REGISTRY_UNAVAILABLE', `the registry of the source answers ${answer.status}`)
    }
    return parseJson(answer.body, { code: 'MESH_REGISTRY_UNAVAILABLE' })
  }

  async function find(id: number): Promise<Found> {
    const found = await ask(`/schemas/ids/${id}`)
    const type = (at(found, '/schemaType') ?? 'AVRO') as Found['type']
    const files = new Map<string, ProtobufFile>()
    if (type === 'PROTOBUF') await collect(found, files)
    else if (Array.isArray(at(found, '/references')) && (at(found, '/references') as unknown[]).length > 0) {
      throw new MeshError('MESH_SOURCE_DECODE', `schema ${id} refers to others: only Protobuf schemas may`)
    }
    return { schema: String(at(found, '/schema')), type, files: [...files.values()] }
  }

  async function collect(found: unknown, files: Map<string, ProtobufFile>): Promise<void> {
    for (const reference of (at(found, '/references') ?? []) as { name: string; subject: string; version: number }[]) {
      if (files.has(reference.name)) continue
      if (files.size >= MAX_REFERENCES)
        throw new MeshError('MESH_SOURCE_DECODE', 'the schema refers to too many others')
      const path = `/subjects/${encodeURIComponent(reference.subject)}/versions/${reference.version}`
      const other = await ask(path)
      files.set(reference.name, { name: reference.name, text: String(at(other, '/schema')) })
      await collect(other, files)
    }
  }

  async function decoderOf(id: number): Promise<Decode> {
    const { schema, type, files } = await find(id)
    switch (type) {
      case 'JSON':
        return (framed) => framed.subarray(FRAME_BYTES)
      case 'PROTOBUF': {
        const decode = compileProtobuf(schema, files)
        return (framed) => eventJson(decode(framed.subarray(FRAME_BYTES)))
      }
      case 'AVRO': {
        const codec = createAvroCodec({ schemaById: () => Promise.resolve(schema) })
        return async (framed) => eventJson((await codec.decode(framed)).record)
      }
    }
  }

  return {
    async toJson(framed) {
      const id = schemaIdOf(framed)
      let decoder = decoders.get(id)
      if (!decoder) {
        decoder = decoderOf(id)
        decoders.set(id, decoder)
        decoder.catch(() => decoders.delete(id))
      }
      const decode = await decoder
      try {
        return await decode(framed)
      } catch (error) {
        const reason = isMeshError(error) ? error.message : describeError(error)
        throw new MeshError('MESH_SOURCE_DECODE', `schema ${id}: ${reason}`, { cause: error })
      }
    },
  }
}

function schemaIdOf(framed: Uint8Array): number {
  if (framed.byteLength < FRAME_BYTES || framed[0] !== 0) {
    throw new MeshError('MESH_SOURCE_DECODE', 'the value has no frame of a schema registry')
  }
  return new DataView(framed.buffer, framed.byteOffset).getInt32(1)
}
