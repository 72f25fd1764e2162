import { Buffer, isUtf8 } from 'node:buffer'
import type { ErrorCode } from './error-codes.ts'
import { MeshError } from './errors.ts'
import { JsonSyntaxError, scanValue, skipSpace } from './json-scan.ts'

// An integer that may not fit a double starts with 16 digits where a value starts. Digits inside strings match too: only slower.
// Two expressions, because one with an alternative for the start takes twice as long.
const LONG_DIGITS = 16
const LONG_INTEGER = /[-:,[\s]\d{16}/
const LONG_AT_START = /^\d{16}/
const INTEGER = /^-?\d+$/

type JsonReviver = (key: string, value: unknown, context: { source?: string }) => unknown
const parseWithSource = JSON.parse as (text: string, reviver: JsonReviver) => unknown

export type ParseJsonOptions = {
  /** The code of the error thrown. Default MESH_EVENT_JSON; bytes that are not UTF-8 then give MESH_BODY_ENCODING. */
  readonly code?: ErrorCode
  /** Where the text came from, for the error. */
  readonly place?: string
}

/**
 * Parses strict JSON. Integers beyond 2^53 become bigint. Other numbers are doubles as JSON.parse gives them: a decimal with
 * more than 17 digits is rounded and 1e999 is Infinity, so exact decimals belong in strings. A leading byte order mark is skipped.
 * @throws MeshError with line, column and byte offset; never with a part of the text.
 */
export function parseJson(input: string | Uint8Array, options: ParseJsonOptions = {}): unknown {
  const text = typeof input === 'string' ? input : decodeUtf8(input, options)
  const body = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text
  try {
    return mayHoldLong(body) ? parseWithSource(body, reviveLong) : JSON.parse(body)
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw jsonError(locateError(Buffer.from(text)), Buffer.from(text), options)
  }
}

/** The expressions read every character, so they are asked only where so many digits stand together: every 16th shows that. */
function mayHoldLong(text: string): boolean {
  return hasLongDigits(text) && (LONG_INTEGER.test(text) || LONG_AT_START.test(text))
}

function hasLongDigits(text: string): boolean {
  for (let i = LONG_DIGITS - 1; i < text.length; i += LONG_DIGITS) {
    if (!isDigit(text.charCodeAt(i))) continue
    let from = i
    let to = i + 1
    while (isDigit(text.charCodeAt(from - 1))) from--
    while (isDigit(text.charCodeAt(to))) to++
    if (to - from >= LONG_DIGITS) return true
  }
  return false
}

/** NaN, what lies beyond the text, is none. */
const isDigit = (c: number): boolean => c >= 0x30 && c <= 0x39

/** Strict UTF-8 to text. @throws MeshError MESH_BODY_ENCODING, or `options.code`. */
export function decodeUtf8(bytes: Uint8Array, options: ParseJsonOptions = {}): string {
  const text = asBuffer(bytes).toString()
  // What is not UTF-8 decodes to replacement characters, so only where there is one are the bytes read once more.
  if (text.includes('\ufffd') && !isUtf8(bytes)) {
    throw new MeshError(options.code ?? 'MESH_BODY_ENCODING', 'the bytes are not UTF-8', placeOf(options))
  }
  return text
}

/** The same bytes; what is a Buffer already needs no second one. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A scanner's error as a MeshError that names line, column (1-based, in characters) and byte offset. */
export function jsonError(error: JsonSyntaxError, bytes: Uint8Array, options: ParseJsonOptions = {}): MeshError {
  const before = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(error.offset, bytes.byteLength)).toString('utf8')
  const lastBreak = before.lastIndexOf('\n')
  const line = before.split('\n').length
  const where = `line ${line}, column ${before.length - lastBreak}, byte ${error.offset}`
  return new MeshError(options.code ?? 'MESH_EVENT_JSON', `${error.message} (${where})`, placeOf(options))
}

/** Length of a leading UTF-8 byte order mark. */
export function byteOrderMark(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
}

function reviveLong(_key: string, value: unknown, context: { source?: string }): unknown {
  if (typeof value !== 'number' || Number.isSafeInteger(value)) return value
  return context.source !== undefined && INTEGER.test(context.source) ? BigInt(context.source) : value
}

/** JSON.parse quotes the text and often gives no position: the scanner finds the place instead. */
function locateError(bytes: Uint8Array): JsonSyntaxError {
  try {
    const end = skipSpace(bytes, scanValue(bytes, skipSpace(bytes, byteOrderMark(bytes))))
    return new JsonSyntaxError(end < bytes.length ? 'text follows the value' : 'the text is not JSON', end)
  } catch (error) {
    if (error instanceof JsonSyntaxError) return error
    throw error
  }
}

const placeOf = (options: ParseJsonOptions): { place?: string } =>
  options.place === undefined ? {} : { place: options.place }
