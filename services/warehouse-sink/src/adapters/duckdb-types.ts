import {
  DuckDBBlobValue,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  DuckDBTimeValue,
  DuckDBUUIDValue,
  type DuckDBValue,
} from '@duckdb/node-api'
import { MeshError } from '@mesh/shared/core/errors'
import { parseDay, parseInstant } from '@mesh/shared/core/instant'
import type { ColumnType } from '@mesh/shared/schema/port'

/** DuckDB's widest DECIMAL; a wider one is kept exactly, as text. */
const MAX_PRECISION = 38

/** The type in the spelling of `duckdb_columns()`. */
export function sqlType(type: ColumnType): string {
  switch (type.kind) {
    case 'boolean':
      return 'BOOLEAN'
    case 'int':
      return 'INTEGER'
    case 'bigint':
      return 'BIGINT'
    case 'float':
      return 'FLOAT'
    case 'double':
      return 'DOUBLE'
    case 'string':
      return 'VARCHAR'
    case 'bytes':
      return 'BLOB'
    case 'date':
      return 'DATE'
    case 'time':
      return 'TIME'
    case 'timestamptz':
      return 'TIMESTAMP WITH TIME ZONE'
    case 'timestamp':
      return 'TIMESTAMP'
    case 'uuid':
      return 'UUID'
    case 'json':
      return 'JSON'
    case 'decimal':
      return type.precision > MAX_PRECISION ? 'VARCHAR' : `DECIMAL(${type.precision},${type.scale})`
  }
}

/** @param value as RefinedRow has it: never null or undefined */
type ToDuckDb = (value: unknown) => DuckDBValue

/** Exact or an error: nothing is rounded or clamped on the way into the table. @throws MeshError MESH_WAREHOUSE_VALUE */
export function toDuckDb(type: ColumnType): ToDuckDb {
  switch (type.kind) {
    case 'bytes':
      return (value) => new DuckDBBlobValue(value as Uint8Array)
    case 'bigint':
      return (value) => BigInt(value as bigint | number)
    case 'date':
      return (value) => new DuckDBDateValue(parseDay(value as string) ?? unreadable(type.kind))
    case 'time':
      return (value) => new DuckDBTimeValue(timeMicros(value as string))
    case 'timestamptz':
      return (value) => new DuckDBTimestampTZValue(instantMicros(value as string))
    case 'timestamp':
      return (value) => new DuckDBTimestampValue(instantMicros(value as string))
    case 'uuid':
      return (value) => uuid(value as string)
    case 'decimal':
      return type.precision > MAX_PRECISION
        ? (value) => value as string
        : (value) => new DuckDBDecimalValue(unscaled(value as string, type.scale), type.precision, type.scale)
    case 'boolean':
    case 'int':
    case 'float':
    case 'double':
    case 'string':
    case 'json':
      return (value) => value as DuckDBValue
  }
}

/** Finite timestamps of DuckDB, in µs since 1970; the values beyond them mean ±infinity or nothing. */
const MIN_MICROS = -9_223_372_022_400_000_000n
const MAX_MICROS = 9_223_372_036_854_775_806n

function instantMicros(text: string): bigint {
  const instant = parseInstant(text)
  if (instant === null || instant.nanos % 1000 !== 0) return unreadable('timestamp')
  const micros = BigInt(instant.epochMs) * 1000n + BigInt(instant.nanos / 1000)
  return micros < MIN_MICROS || micros > MAX_MICROS ? unreadable('timestamp') : micros
}

/**
 * `_event_time` in DuckDB's µs. A sender's clock is not the record's content: nanoseconds are cut off and a time that no
 * warehouse has is moved to its nearest, where a typed column would refuse.
 */
export function eventTime(text: string): DuckDBTimestampTZValue {
  const instant = parseInstant(text)
  if (instant === null) return unreadable('event time')
  const micros = BigInt(instant.epochMs) * 1000n + BigInt(Math.floor(instant.nanos / 1000))
  return new DuckDBTimestampTZValue(micros < MIN_MICROS ? MIN_MICROS : micros > MAX_MICROS ? MAX_MICROS : micros)
}

function timeMicros(text: string): bigint {
  const match = /^(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/.exec(text)
  if (!match) return unreadable('time')
  const seconds = (Number(match[1]) * 60 + Number(match[2])) * 60 + Number(match[3])
  return BigInt(seconds * 1_000_000 + Number((match[4] ?? '').padEnd(6, '0')))
}

function unscaled(text: string, scale: number): bigint {
  const match = /^([+-]?)(\d+)(?:\.(\d*))?$/.exec(text)
  const fraction = match?.[3] ?? ''
  const digits = fraction.replace(/0+$/, '')
  if (!match || digits.length > scale) return unreadable('decimal')
  const value = BigInt(match[2]! + digits.padEnd(scale, '0'))
  return match[1] === '-' ? -value : value
}

function uuid(text: string): DuckDBUUIDValue {
  if (!/^[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(text)) return unreadable('uuid')
  return DuckDBUUIDValue.fromUint128(BigInt(`0x${text.replaceAll('-', '')}`))
}

function unreadable(kind: string): never {
  throw new MeshError('MESH_WAREHOUSE_VALUE', `a ${kind} value cannot be stored exactly`)
}
