/**
 * MongoDB Extended JSON (canonical, relaxed and the older strict form that Debezium writes) in the mesh's value model: `$oid` and
 * UUIDs as text, longs as number or bigint, decimals as text, dates as ISO 8601, binary as bytes. What has no form in the model
 * (`$regularExpression`, `$timestamp`, `$minKey`, …) stays as it is written.
 */
export function fromExtendedJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromExtendedJson)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  const special = entries.length > 0 && entries[0]![0].startsWith('$') ? specialValue(value as Special) : undefined
  if (special !== undefined) return special
  const plain: Record<string, unknown> = {}
  for (const [name, inner] of entries) define(plain, name, fromExtendedJson(inner))
  return plain
}

type Special = Readonly<Record<string, unknown>>

const INT64 = /^-?\d{1,19}$/
const UUID_SUBTYPE = '04'

function specialValue(value: Special): unknown {
  const { $oid, $numberLong, $numberInt, $numberDouble, $numberDecimal, $date, $binary, $uuid } = value
  if (typeof $oid === 'string') return $oid
  if (typeof $numberLong === 'string' && INT64.test($numberLong)) return longOf($numberLong)
  if (typeof $numberInt === 'string' && INT64.test($numberInt)) return Number($numberInt)
  if (typeof $numberDouble === 'string') return Number($numberDouble)
  if (typeof $numberDecimal === 'string') return $numberDecimal
  if (typeof $uuid === 'string') return $uuid
  if ($date !== undefined) return dateOf($date)
  if ($binary !== undefined) return binaryOf($binary, value['$type'])
  return undefined
}

function longOf(text: string): number | bigint {
  const number = Number(text)
  return Number.isSafeInteger(number) ? number : BigInt(text)
}

function dateOf(date: unknown): string | undefined {
  if (typeof date === 'string') return date
  const ms = typeof date === 'object' && date !== null ? Number((date as Special)['$numberLong']) : Number(date)
  const time = new Date(ms)
  return Number.isNaN(time.getTime()) ? undefined : time.toISOString()
}

function binaryOf(binary: unknown, olderType: unknown): unknown {
  const inner = typeof binary === 'object' && binary !== null ? (binary as Special) : null
  const text = inner === null ? binary : inner['base64']
  const subType = inner === null ? olderType : inner['subType']
  if (typeof text !== 'string') return undefined
  const bytes = new Uint8Array(Buffer.from(text, 'base64'))
  if (subType !== UUID_SUBTYPE || bytes.byteLength !== 16) return bytes
  const hex = Buffer.from(bytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** A document may have a field `__proto__`. */
function define(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') target[name] = value
  else Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true })
}
