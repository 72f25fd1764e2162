import type { SchemaElement } from 'hyparquet'
import { MeshError } from '../core/errors.ts'
import { formatCivil, formatDay, parseDay, parseInstant } from '../core/instant.ts'
import type { Column, ColumnType } from '../schema/port.ts'

/** What a lake column can hold: the types of silver, and two that only bronze has. */
export type ParquetType =
  | ColumnType
  /** number: epoch milliseconds, UTC. */
  | { readonly kind: 'millis' }
  /** readonly RecordHeader[], as list<struct<name, value>>. */
  | { readonly kind: 'headers' }
export type ParquetColumn = Omit<Column, 'type'> & { readonly type: ParquetType }

const MICROS = { unit: 'MICROS' } as const
const TEXT = { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } } as const

/** The Parquet schema elements of a column; a list brings its children. */
export function schemaElements({ name, type, nullable }: ParquetColumn): SchemaElement[] {
  const repetition_type = nullable ? ('OPTIONAL' as const) : ('REQUIRED' as const)
  if (type.kind === 'headers') {
    return [
      { name, repetition_type, converted_type: 'LIST', logical_type: { type: 'LIST' }, num_children: 1 },
      { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
      { name: 'element', repetition_type: 'REQUIRED', num_children: 2 },
      { name: 'name', repetition_type: 'REQUIRED', ...TEXT },
      { name: 'value', repetition_type: 'OPTIONAL', type: 'BYTE_ARRAY' },
    ]
  }
  return [{ name, repetition_type, ...leafElement(type) }]
}

function leafElement(type: Exclude<ParquetType, { kind: 'headers' }>): Omit<SchemaElement, 'name'> {
  switch (type.kind) {
    case 'boolean':
      return { type: 'BOOLEAN' }
    case 'int':
      return { type: 'INT32' }
    case 'bigint':
      return { type: 'INT64' }
    case 'float':
      return { type: 'FLOAT' }
    case 'double':
      return { type: 'DOUBLE' }
    case 'bytes':
      return { type: 'BYTE_ARRAY' }
    // Avro does not check the text of a uuid, so its column takes any.
    case 'string':
    case 'uuid':
      return TEXT
    case 'json':
      // The writer would serialize a value whose converted type is JSON again.
      return { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'JSON' } }
    case 'date':
      return { type: 'INT32', converted_type: 'DATE', logical_type: { type: 'DATE' } }
    case 'time':
      return {
        type: 'INT64',
        converted_type: 'TIME_MICROS',
        logical_type: { type: 'TIME', isAdjustedToUTC: false, ...MICROS },
      }
    case 'timestamptz':
      return {
        type: 'INT64',
        converted_type: 'TIMESTAMP_MICROS',
        logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, ...MICROS },
      }
    case 'timestamp':
      return { type: 'INT64', logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: false, ...MICROS } }
    case 'millis':
      return {
        type: 'INT64',
        converted_type: 'TIMESTAMP_MILLIS',
        logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MILLIS' },
      }
    case 'decimal': {
      const { precision, scale } = type
      const logical = { type: 'DECIMAL', precision, scale } as const
      const shared = { converted_type: 'DECIMAL', precision, scale, logical_type: logical } as const
      if (precision <= 18) return { type: 'INT64', ...shared }
      return { type: 'FIXED_LEN_BYTE_ARRAY', type_length: decimalBytes(precision), ...shared }
    }
  }
}

/** The column that an element of a file's schema was made from: the other way round from `schemaElements`. */
export function columnOf(element: SchemaElement): ParquetColumn {
  return { name: element.name, type: typeOf(element), nullable: element.repetition_type === 'OPTIONAL' }
}

function typeOf(element: SchemaElement): ParquetType {
  const { type, converted_type: converted, logical_type: logical, precision = 0, scale = 0 } = element
  if (element.num_children) return { kind: 'headers' }
  if (converted === 'DECIMAL') return { kind: 'decimal', precision, scale }
  if (converted === 'TIMESTAMP_MILLIS') return { kind: 'millis' }
  if (converted === 'DATE') return { kind: 'date' }
  if (logical?.type === 'TIME') return { kind: 'time' }
  if (logical?.type === 'TIMESTAMP') return { kind: logical.isAdjustedToUTC ? 'timestamptz' : 'timestamp' }
  // A uuid is stored as the text that it is.
  if (converted === 'UTF8') return { kind: logical?.type === 'JSON' ? 'json' : 'string' }
  const kind = type && PLAIN_KINDS[type]
  if (kind) return { kind }
  const message = `column ${element.name} is of a type that no sink writes: ${type}`
  throw new MeshError('MESH_LAKE_CHAIN_BROKEN', message)
}

const PLAIN_KINDS = {
  BOOLEAN: 'boolean',
  INT32: 'int',
  INT64: 'bigint',
  FLOAT: 'float',
  DOUBLE: 'double',
  BYTE_ARRAY: 'bytes',
  INT96: null,
  FIXED_LEN_BYTE_ARRAY: null,
} as const

/** Fewest bytes that hold every unscaled value of a precision. */
function decimalBytes(precision: number): number {
  const most = 10n ** BigInt(precision) - 1n
  return Math.ceil((most.toString(2).length + 1) / 8)
}

/** From the sinks' value model to what the file stores. @throws MeshError MESH_DECODE_AVRO */
export function toPhysical(value: unknown, type: ParquetType): unknown {
  if (value === null || value === undefined) return null
  switch (type.kind) {
    case 'bigint':
      return BigInt(value as number | bigint)
    case 'millis':
      return BigInt(value as number)
    case 'date':
      return parseDay(value as string) ?? refuse('date', value as string)
    case 'time':
      return parseMicros(`1970-01-01T${value as string}`)
    case 'timestamptz':
    case 'timestamp':
      return parseMicros(value as string)
    case 'decimal':
      return parseDecimal(value as string, type.scale)
    case 'boolean':
    case 'int':
    case 'float':
    case 'double':
    case 'string':
    case 'uuid':
    case 'json':
    case 'bytes':
    case 'headers':
      return value
  }
}

/** Back from what the file stores; the element says what it means. Timestamps with a zone come back in UTC with six digits. */
export function fromPhysical(value: unknown, element: SchemaElement): unknown {
  if (value === null || value === undefined) return null
  const { converted_type: converted, logical_type: logical } = element
  if (converted === 'UTF8') return Buffer.from(value as Uint8Array).toString()
  if (converted === 'TIMESTAMP_MILLIS') return Number(value)
  if (converted === 'DECIMAL') return formatDecimal(value as bigint | Uint8Array, element.scale ?? 0)
  if (converted === 'DATE') return formatDay(value as number)
  if (logical?.type === 'TIME') return formatMicros(value as bigint).slice(11)
  if (logical?.type === 'TIMESTAMP') return formatMicros(value as bigint) + (logical.isAdjustedToUTC ? 'Z' : '')
  return value
}

/** ISO-8601 to microseconds since the epoch; a text without an offset counts as UTC. Never rounds. */
function parseMicros(text: string): bigint {
  const instant = parseInstant(text)
  if (!instant || instant.nanos % 1_000 !== 0) return refuse('date or time', text)
  return BigInt(instant.epochMs) * 1_000n + BigInt(instant.nanos / 1_000)
}

function formatMicros(micros: bigint): string {
  const below = ((micros % 1_000n) + 1_000n) % 1_000n
  return formatCivil(Number((micros - below) / 1_000n), Number(below) * 1_000, 6)
}

const DECIMAL = /^([+-]?)(\d+)(?:\.(\d+))?$/

/** Decimal text to its unscaled integer. Never rounds. */
function parseDecimal(text: string, scale: number): bigint {
  const [match, sign, whole = '', fraction = ''] = DECIMAL.exec(text) ?? []
  if (match === undefined || /[^0]/.test(fraction.slice(scale))) return refuse('decimal', text)
  const unscaled = BigInt(whole + fraction.slice(0, scale).padEnd(scale, '0'))
  return sign === '-' ? -unscaled : unscaled
}

function formatDecimal(stored: bigint | Uint8Array, scale: number): string {
  const hex = typeof stored === 'bigint' ? '' : Buffer.from(stored).toString('hex')
  const unscaled = typeof stored === 'bigint' ? stored : BigInt.asIntN(stored.byteLength * 8, BigInt(`0x${hex}`))
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0')
  const at = digits.length - scale
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, at)}${scale > 0 ? `.${digits.slice(at)}` : ''}`
}

function refuse(what: string, text: string): never {
  throw new MeshError('MESH_DECODE_AVRO', `a ${what} of ${text.length} characters does not fit its column`)
}
