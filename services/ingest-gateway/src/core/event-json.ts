import { MeshError } from '@mesh/shared/core/errors'
import { textBytes } from '@mesh/shared/core/record'

type RawJson = { rawJSON(text: string): unknown }

/**
 * A decoded value as JSON: bigints as numbers with all their digits, bytes as base64. What JSON has no form for is refused.
 * @throws MeshError MESH_SOURCE_DECODE
 */
export function eventJson(value: unknown): Uint8Array {
  return textBytes(JSON.stringify(value, replace))
}

function replace(this: unknown, key: string, value: unknown): unknown {
  // `toJSON` of a Buffer or Date has run already: the holder still has what it was.
  const held = (this as Record<string, unknown>)[key]
  if (held instanceof Uint8Array) return Buffer.from(held.buffer, held.byteOffset, held.byteLength).toString('base64')
  if (typeof value === 'bigint') return (JSON as unknown as RawJson).rawJSON(String(value))
  if (typeof value === 'number' && !Number.isFinite(value)) {
    throw new MeshError('MESH_SOURCE_DECODE', `JSON has no form for ${value} (${key})`)
  }
  return value
}
