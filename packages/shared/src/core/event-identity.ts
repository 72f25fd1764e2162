import type { Contract, EventTimeRule } from './contract.ts'
import { MeshError } from './errors.ts'
import { formatInstant, parseInstant } from './instant.ts'
import { integerSource } from './json-integer.ts'
import { at, pointerTokens } from './json-pointer.ts'
import { sourceAt } from './json-slices.ts'
import { textBytes } from './record.ts'
import { compileFormat, parseLocalTime } from './zoned-time.ts'

/**
 * The key text of an event: a string as it is, a number by its source characters (`1.0` and `1` are two keys). One declared
 * pointer must lead to a value; of several the first non-null one wins. Null (keyless, or none of a list) = the event id is the key.
 * @param source the event as received; read only when the key is a number.
 * @throws MeshError MESH_EVENT_KEY
 */
export function eventKey(contract: Pick<Contract, 'key'>, event: unknown, source: string | Uint8Array): string | null {
  for (const pointer of contract.key) {
    const text = textAt(event, pointer, source)
    if (text === undefined) {
      throw new MeshError('MESH_EVENT_KEY', `the key at ${pointer || 'the root'} is not a string, number or boolean`)
    }
    if (text !== null) return text
  }
  if (contract.key.length === 1) throw new MeshError('MESH_EVENT_KEY', `the event has no key at ${contract.key[0]}`)
  return null
}

/**
 * The event id that the contract points to, or null when it declares none (the caller then takes ce_id, delivery id,
 * Idempotency-Key or a fresh UUIDv7). @throws MeshError MESH_EVENT_ID
 */
export function eventIdOf(
  contract: Pick<Contract, 'eventId'>,
  event: unknown,
  source: string | Uint8Array,
): string | null {
  if (contract.eventId === null) return null
  const value = at(event, contract.eventId)
  const text = typeof value === 'boolean' ? undefined : textAt(event, contract.eventId, source)
  if (text === null || text === undefined || text === '') {
    throw new MeshError('MESH_EVENT_ID', `the event id at ${contract.eventId} is missing, empty or no string or number`)
  }
  return text
}

export type EventTime = {
  /** ISO 8601 with offset; null = take ce_time, else the receipt time. */
  readonly time: string | null
  /** The contract points to a value that cannot be read as a time: take the receipt time and count it. */
  readonly unreadable: boolean
}

const NO_TIME: EventTime = { time: null, unreadable: false }
const STRICT_RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/
const UNREADABLE: EventTime = { time: null, unreadable: true }

/** The event time by the contract. Never throws: an event is not refused for its time. */
export function eventTimeOf(contract: Pick<Contract, 'eventTime'>, event: unknown): EventTime {
  if (contract.eventTime === null) return NO_TIME
  const time = readTime(at(event, contract.eventTime.at), contract.eventTime)
  return time === null ? UNREADABLE : { time, unreadable: false }
}

/**
 * Text of a scalar for a key or a join: undefined for an object or array, null for null or nothing. Numbers read their source.
 */
export function textAt(event: unknown, pointer: string, source: string | Uint8Array): string | null | undefined {
  const tokens = pointerTokens(pointer)
  const value = at(event, tokens)
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint') {
    return integerSource(source, tokens, value) ?? scannedSource(source, tokens) ?? String(value)
  }
  if (typeof value === 'boolean') return String(value)
  return value === null || value === undefined ? null : undefined
}

function scannedSource(source: string | Uint8Array, tokens: readonly string[]): string | null {
  return sourceAt(typeof source === 'string' ? textBytes(source) : source, tokens)
}

function readTime(value: unknown, rule: EventTimeRule): string | null {
  if (rule.format !== null) {
    const format = compileFormat(rule.format)
    return format && typeof value === 'string' ? parseLocalTime(value, format, rule.zone) : null
  }
  if (typeof value === 'number' || typeof value === 'bigint') return fromEpoch(Number(value))
  if (typeof value !== 'string') return null
  if (/^-?\d+(?:\.\d+)?$/.test(value)) return fromEpoch(Number(value))
  const instant = parseInstant(value)
  if (instant === null || instant.offset === null) return null
  return STRICT_RFC3339.test(value) ? value : formatInstant(instant.epochMs, instant.nanos, instant.nanos === 0 ? 3 : 9)
}

// Seconds reach this far: year 5138; ms as many digits further, µs again. Larger numbers are no time.
const MAX_SECONDS = 1e11
const MAX_MILLIS = 1e14
const MAX_MICROS = 1e17

function fromEpoch(value: number): string | null {
  const size = Math.abs(value)
  if (!(size < MAX_MICROS)) return null
  const micros = Math.round(size < MAX_SECONDS ? value * 1e6 : size < MAX_MILLIS ? value * 1000 : value)
  const ms = Math.floor(micros / 1000)
  const rest = micros - ms * 1000
  return formatInstant(ms, rest * 1000, rest === 0 ? 3 : 6)
}
