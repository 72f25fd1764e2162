import { createHash } from 'node:crypto'
import { canonicalJson } from '@mesh/shared/core/canonical-json'

/** A UUIDv8 (RFC 9562 §5.8) over what names a run: told again, in any process at any time, it is the same run. */
export function lineageRunId(...name: readonly (string | number)[]): string {
  const hash = createHash('sha256').update(canonicalJson(name)).digest()
  hash[6] = (hash[6]! & 0x0f) | 0x80
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`
}
