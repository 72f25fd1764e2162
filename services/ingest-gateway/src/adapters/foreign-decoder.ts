import type { IngestKafka } from '@mesh/shared/core/contract'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { parseJson } from '@mesh/shared/core/json-text'
import { bytesText, type KafkaRecord } from '@mesh/shared/core/record'
import type { KafkaSource } from '@mesh/shared/core/source'
import type { GuardedHttp } from '@mesh/shared/runtime/guarded-http'
import { type ForeignRecord, keyText, wrapBytes } from '../core/foreign-record.ts'
import type { ReadSecret } from '../core/ports.ts'
import { createForeignRegistry, type ForeignRegistry } from './foreign-registry.ts'
import { createSourceText } from './source-text.ts'

/** Turns a foreign record's bytes into an event. A value that can never be read goes on as it came. */
export function createForeignDecoder(
  format: IngestKafka['format'],
  source: KafkaSource,
  { http, readSecret }: { readonly http: GuardedHttp; readonly readSecret: ReadSecret },
): (record: KafkaRecord) => Promise<ForeignRecord> {
  let opened: Promise<ForeignRegistry> | null = null

  function registry(): Promise<ForeignRegistry> {
    opened ??= openRegistry().catch((error: unknown) => {
      opened = null
      throw error
    })
    return opened
  }

  async function openRegistry(): Promise<ForeignRegistry> {
    const given = source.registry
    if (given === null) {
      throw new MeshError('MESH_CONTRACT_INVALID', `format registry needs \`registry\` in sources/${source.name}.yaml`)
    }
    const text = createSourceText(source.name, readSecret)
    const credential =
      given.user === null ? null : { user: await text(given.user), password: await text(given.password ?? '') }
    return createForeignRegistry({ url: await text(given.url), credential, http })
  }

  return async function decode(record) {
    const { key, value } = record
    if (format !== 'registry') {
      const event = value === null || format === 'json' ? value : wrapBytes(value)
      return { record, value: event, key: keyText(key), undecoded: false }
    }
    const { toJson } = await registry()
    const text = await readKey(key, toJson)
    if (value === null) return { record, value: null, key: text, undecoded: false }
    try {
      return { record, value: await toJson(value), key: text, undecoded: false }
    } catch (error) {
      if (!isMeshError(error) || error.code !== 'MESH_SOURCE_DECODE') throw error
      return { record, value, key: text, undecoded: true }
    }
  }
}

/** A key may be framed too: then a string is its text, anything else its JSON. */
async function readKey(key: Uint8Array | null, toJson: ForeignRegistry['toJson']): Promise<string | null> {
  if (key === null || key.byteLength <= 5 || key[0] !== 0) return keyText(key)
  try {
    const json = await toJson(key)
    const parsed = parseJson(json)
    return typeof parsed === 'string' ? parsed : bytesText(json)
  } catch (error) {
    // Any bytes may begin with a zero.
    const isPlain = isMeshError(error) && (error.code === 'MESH_SOURCE_DECODE' || error.code === 'MESH_SCHEMA_UNKNOWN')
    if (isPlain) return keyText(key)
    throw error
  }
}
