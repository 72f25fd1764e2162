import { MeshError } from '@mesh/shared/core/errors'
import { compile, type JSONSchema } from 'json-schema-to-typescript'

type Json = Readonly<Record<string, unknown>>

/**
 * TypeScript of raw.schema.json under `name`. An `integer` of format int64 is `number | bigint`, as such integers arrive. References
 * to other files and addresses are refused: the schema is what is in the file. @throws MeshError MESH_CONTRACT_SCHEMA
 */
export async function rawTypes(schema: Json, name: string, place: string): Promise<string> {
  const outside = outsideReference(schema)
  if (outside !== null) throw schemaError(place, `$ref ${outside} leads out of the file`)
  const { title: _, ...own } = withLongs(schema) as Json
  try {
    const text = await compile(own as JSONSchema, name, {
      bannerComment: '',
      additionalProperties: false,
      ignoreMinAndMaxItems: true,
      unknownAny: true,
      style: { singleQuote: true, semi: false, printWidth: 120 },
    })
    return text.trim()
  } catch (error) {
    throw schemaError(place, error instanceof Error ? error.message : String(error), error)
  }
}

function withLongs(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(withLongs)
  if (typeof schema !== 'object' || schema === null) return schema
  const json = schema as Json
  const copy = Object.fromEntries(Object.entries(json).map(([key, value]) => [key, withLongs(value)]))
  return json['type'] === 'integer' && json['format'] === 'int64' ? { ...copy, tsType: 'number | bigint' } : copy
}

function outsideReference(schema: unknown): string | null {
  if (typeof schema !== 'object' || schema === null) return null
  for (const [key, value] of Object.entries(schema)) {
    if (key === '$ref' && typeof value === 'string' && !value.startsWith('#')) return value
    const inner = outsideReference(value)
    if (inner !== null) return inner
  }
  return null
}

function schemaError(place: string, reason: string, cause?: unknown): MeshError {
  return new MeshError('MESH_CONTRACT_SCHEMA', `${place}: no types can be made of it: ${reason}`, { place, cause })
}
