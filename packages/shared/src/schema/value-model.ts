import { formatCivil, formatClock, formatDay, formatInstant, parseDay, parseInstant } from '../core/instant.ts'
import type { AvroNode, Logical } from './avro-schema.ts'

/**
 * The one owner of the value model: how an Avro value looks in refine.ts, in the client and in the sinks, and which values may be
 * written. Nothing is rounded: what cannot be represented exactly throws `ValueError`. (`float` is single precision by
 * declaration: a number is stored with 24 bits; only one beyond its range is refused.)
 */
export class ValueError extends Error {
  /** Field path, innermost last; built on the way out. */
  readonly path: string[] = []
  constructor(reason: string) {
    super(reason)
    this.name = 'ValueError'
  }
}

const INT64_MIN = -(1n << 63n)
const INT64_MAX = (1n << 63n) - 1n
const DAY_MS = 86_400_000
const UNIT_DIGITS = { millis: 3, micros: 6, nanos: 9 } as const
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** What a value is called in a reason; never the value itself. */
export function describeValue(value: unknown): string {
  if (value === null) return 'null'
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'an array'
  if (value instanceof Uint8Array) return 'bytes'
  if (value instanceof Date) return 'a Date'
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`
}

/** A value for Avro int. @throws ValueError */
export function toInt(value: unknown): number {
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number !== 'number') throw new ValueError(`${describeValue(value)} is no int`)
  if ((number | 0) !== number) throw new ValueError('the number is not a 32-bit integer')
  return number
}

/** A value for Avro long: a safe integer, or a bigint of 64 bits. @throws ValueError */
export function toLong(value: unknown): number | bigint {
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return value
    throw new ValueError(
      Number.isInteger(value)
        ? 'the integer is beyond 2^53 and may have been rounded: give it as a bigint'
        : 'the number is not an integer',
    )
  }
  if (typeof value !== 'bigint') throw new ValueError(`${describeValue(value)} is no long`)
  if (value < INT64_MIN || value > INT64_MAX) throw new ValueError('the integer is beyond 64 bits')
  return value
}

/** @throws ValueError */
export function toDouble(value: unknown): number {
  if (typeof value === 'number') return value
  if (typeof value !== 'bigint') throw new ValueError(`${describeValue(value)} is no number`)
  const number = Number(value)
  if (!Number.isFinite(number) || BigInt(number) !== value) throw new ValueError('the integer does not fit a double')
  return number
}

/** @throws ValueError */
export function toFloat(value: unknown): number {
  const number = toDouble(value)
  if (Number.isFinite(number) && !Number.isFinite(Math.fround(number)))
    throw new ValueError('the number is beyond float')
  return number
}

/** @throws ValueError on text that UTF-8 cannot hold (lone surrogates) */
export function toText(value: unknown): string {
  if (typeof value !== 'string') throw new ValueError(`${describeValue(value)} is no string`)
  if (!value.isWellFormed()) throw new ValueError('the string is not valid Unicode')
  return value
}

/** @throws ValueError */
export function toBytes(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new ValueError(`${describeValue(value)} is no Uint8Array`)
  return value
}

/** Converts between the model and the plain Avro value of a logical type. */
export type Conversion = {
  readonly toAvro: (value: unknown) => unknown
  readonly fromAvro: (value: never) => unknown
}

/** The conversion of a node's logical type, or null when it has none. */
export function conversionOf(node: AvroNode): Conversion | null {
  if (!('logical' in node) || node.logical === null) return null
  const { logical } = node
  switch (logical.name) {
    case 'date':
      return { toAvro: dayFrom, fromAvro: (days: number) => formatDay(days) }
    case 'time':
      return timeConversion(logical.unit)
    case 'timestamp':
    case 'local-timestamp':
      return timestampConversion(logical)
    case 'uuid':
      return node.kind === 'fixed' ? { toAvro: uuidBytes, fromAvro: uuidText } : { toAvro: uuid, fromAvro: (t) => t }
    case 'decimal': {
      const size = node.kind === 'fixed' ? node.size : null
      return {
        toAvro: (value) => unscaledBytes(unscaledOf(value, logical), size),
        fromAvro: (bytes: Uint8Array) => decimalText(unscaledFrom(bytes), logical.scale),
      }
    }
    default:
      return logical satisfies never
  }
}

function dayFrom(value: unknown): number {
  const days = typeof value === 'string' ? parseDay(withoutZ(value)) : null
  if (days === null) throw new ValueError(`${describeValue(value)} is no date 'YYYY-MM-DD'`)
  return toInt(days)
}

/** A date and a time of day have no zone; Debezium ends their ISO texts with `Z`. */
const withoutZ = (text: string): string => (text.endsWith('Z') ? text.slice(0, -1) : text)

function timeConversion(unit: 'millis' | 'micros' | 'nanos'): Conversion {
  const perMs = unit === 'millis' ? 1 : 1000
  return {
    toAvro: (value) => {
      const instant = typeof value === 'string' ? parseInstant(`1970-01-01T${withoutZ(value)}`) : null
      if (instant === null || instant.offset !== null) {
        throw new ValueError(`${describeValue(value)} is no time 'HH:mm:ss.ffffff'`)
      }
      const rest = perMs === 1 ? instant.nanos : instant.nanos % 1000
      if (rest !== 0) throw new ValueError(`the time is finer than ${unit}`)
      return instant.epochMs * perMs + (perMs === 1 ? 0 : instant.nanos / 1000)
    },
    fromAvro: (value: number | bigint) => {
      const count = Number(value)
      const ms = Math.floor(count / perMs)
      if (ms < 0 || ms >= DAY_MS) throw new ValueError('the time is not within a day')
      return formatClock(ms, (count - ms * perMs) * 1000 * (perMs === 1 ? 0 : 1), 6)
    },
  }
}

const PER_MS = { millis: 1, micros: 1000, nanos: 1_000_000 } as const

function timestampConversion(logical: Extract<Logical, { unit: string }>): Conversion {
  const perMs = PER_MS[logical.unit]
  const digits = UNIT_DIGITS[logical.unit]
  const local = logical.name === 'local-timestamp'
  const format = local ? formatCivil : formatInstant
  const nanosPerUnit = 1_000_000 / perMs
  return {
    toAvro: (value) => {
      const { epochMs, nanos } = instantFrom(value, local)
      if (nanos % nanosPerUnit !== 0) throw new ValueError(`the timestamp is finer than ${logical.unit}`)
      if (perMs === 1) return epochMs
      const count = epochMs * perMs + nanos / nanosPerUnit
      return Number.isSafeInteger(count)
        ? count
        : toLong(BigInt(epochMs) * BigInt(perMs) + BigInt(nanos / nanosPerUnit))
    },
    fromAvro: (value: number | bigint) => {
      if (typeof value === 'number') {
        const ms = Math.floor(value / perMs)
        return format(ms, (value - ms * perMs) * nanosPerUnit, digits)
      }
      const per = BigInt(perMs)
      const rest = ((value % per) + per) % per
      return format(Number((value - rest) / per), Number(rest) * nanosPerUnit, digits)
    },
  }
}

function instantFrom(value: unknown, local: boolean): { epochMs: number; nanos: number } {
  if (value instanceof Date && !local) {
    if (Number.isNaN(value.getTime())) throw new ValueError('the Date is invalid')
    return { epochMs: value.getTime(), nanos: 0 }
  }
  const instant = typeof value === 'string' ? parseInstant(value) : null
  if (instant === null || (instant.offset === null) !== local) {
    const form = local ? 'a local ISO-8601 timestamp (no offset)' : 'an ISO-8601 timestamp with offset, nor a Date'
    throw new ValueError(`${describeValue(value)} is not ${form}`)
  }
  return instant
}

function uuid(value: unknown): string {
  if (typeof value !== 'string' || !UUID.test(value)) throw new ValueError(`${describeValue(value)} is no UUID`)
  return value
}

function uuidBytes(value: unknown): Uint8Array {
  return Buffer.from(uuid(value).replaceAll('-', ''), 'hex')
}

function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** A decimal's unscaled integer. Strings are plain (`-12.50`); integers are exact too, other numbers are not taken. */
function unscaledOf(value: unknown, { precision, scale }: Extract<Logical, { name: 'decimal' }>): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value)) {
    throw new ValueError('the number may have been rounded: give a decimal as a string')
  }
  const text = typeof value === 'number' || typeof value === 'bigint' ? String(value) : value
  const match = typeof text === 'string' ? /^([+-]?)(\d+)(?:\.(\d+))?$/.exec(text) : null
  if (!match) throw new ValueError(`${describeValue(value)} is no decimal`)
  const fraction = (match[3] ?? '').replace(/0+$/, '')
  if (fraction.length > scale) throw new ValueError(`the decimal has more than ${scale} digits after the point`)
  const digits = (match[2]! + fraction.padEnd(scale, '0')).replace(/^0+(?=\d)/, '')
  if (digits.length > precision) throw new ValueError(`the decimal has more than ${precision} digits`)
  const unscaled = BigInt(digits)
  return match[1] === '-' ? -unscaled : unscaled
}

/** Two's complement, big-endian, as short as it can be, or of `size` bytes (Avro specification: decimal). */
function unscaledBytes(unscaled: bigint, size: number | null): Uint8Array {
  let length = size ?? 1
  if (size === null) while (BigInt.asIntN(length * 8, unscaled) !== unscaled) length++
  const bytes = new Uint8Array(length)
  let rest = BigInt.asUintN(length * 8, unscaled)
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = Number(rest & 0xffn)
    rest >>= 8n
  }
  return bytes
}

function unscaledFrom(bytes: Uint8Array): bigint {
  if (bytes.length === 0) return 0n
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return BigInt.asIntN(bytes.length * 8, BigInt(`0x${hex}`))
}

function decimalText(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : ''
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  return scale === 0 ? sign + digits : `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** The kind of JavaScript value a branch takes; two branches of one kind make a union ambiguous, hence wrapped. */
export function valueKind(node: AvroNode): string {
  if (conversionOf(node) !== null) return 'string'
  switch (node.kind) {
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return 'number'
    case 'bytes':
    case 'fixed':
      return 'bytes'
    case 'enum':
    case 'string':
      return 'string'
    case 'record':
    case 'map':
      return 'object'
    case 'null':
    case 'boolean':
    case 'array':
    case 'union':
      return node.kind
    default:
      return node satisfies never
  }
}

/** The kind of a value, in `valueKind`'s words; decimals and timestamps take numbers and Dates only outside unions. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return 'array'
  if (value instanceof Uint8Array) return 'bytes'
  if (value instanceof Date) return 'string'
  return typeof value === 'bigint' ? 'number' : typeof value
}

/** True when the union's values are `{ branch: value }` (null stays null). */
export function isWrappedUnion(branches: readonly AvroNode[]): boolean {
  const kinds = branches.map(valueKind)
  return new Set(kinds).size !== kinds.length
}
