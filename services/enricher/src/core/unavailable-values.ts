import { createHash } from 'node:crypto'

/**
 * PostgreSQL does not log a TOASTed value that an update left alone; Debezium writes a placeholder instead, in a form for each kind
 * of column (io.debezium.connector.postgresql.UnchangedToastedPlaceholder): text, bytes (base64 or hex in JSON), text array, integer
 * array (the placeholder's bytes), UUID array (the name-based UUID of them), hstore (as a map, or as JSON in a string).
 */
const PLACEHOLDER = '__debezium_unavailable_value'
const BYTES = Buffer.from(PLACEHOLDER)
const BASE64 = BYTES.toString('base64')
const HEX = BYTES.toString('hex')
const INTEGERS = [...BYTES].join(',')
const UUID = nameUuid(BYTES)
const HSTORE = [':', ': '].map((separator) => `{"${PLACEHOLDER}"${separator}"${PLACEHOLDER}"}`)
const TEXTS: ReadonlySet<string> = new Set([PLACEHOLDER, BASE64, HEX, UUID, ...HSTORE])
const NEEDLES = [PLACEHOLDER, BASE64, HEX, UUID, INTEGERS].map((text) => Buffer.from(text))

/** False: no column of the record can be unavailable. One look over the bytes, instead of one into every column. */
export function mayLackValues(record: Uint8Array): boolean {
  const bytes = Buffer.from(record.buffer, record.byteOffset, record.byteLength)
  return NEEDLES.some((needle) => bytes.includes(needle))
}

export function isUnavailable(value: unknown): boolean {
  if (typeof value === 'string') return TEXTS.has(value)
  if (Array.isArray(value)) return value.some(isUnavailable) || value.join(',') === INTEGERS
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).some(isUnavailable)
}

/** RFC 4122 version 3 without a name space, as java.util.UUID.nameUUIDFromBytes makes it. */
function nameUuid(bytes: Uint8Array): string {
  const hash = createHash('md5').update(bytes).digest()
  hash[6] = (hash[6]! & 0x0f) | 0x30
  hash[8] = (hash[8]! & 0x3f) | 0x80
  const hex = hash.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
