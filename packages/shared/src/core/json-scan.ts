/**
 * A strict JSON scanner (RFC 8259) over UTF-8 bytes. It finds where values begin and end without building them, so that slices
 * keep the sender's exact bytes. Deep nesting is bounded: a hostile body must not overflow the stack.
 */
export class JsonSyntaxError extends Error {
  /** Byte offset of the first byte that cannot be there; the length of the input when it ends too early. */
  readonly offset: number

  constructor(reason: string, offset: number) {
    super(reason)
    this.name = 'JsonSyntaxError'
    this.offset = offset
  }
}

export const MAX_JSON_DEPTH = 512

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** The first offset at or after `at` that is not white space. */
export function skipSpace(bytes: Uint8Array, at: number): number {
  let i = at
  for (;;) {
    const c = bytes[i]
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return i
    i++
  }
}

/** The end of the value that begins at `at` (no leading white space). @throws JsonSyntaxError */
export function scanValue(bytes: Uint8Array, at: number, depth = 0): number {
  const c = bytes[at]
  if (c === QUOTE) return scanString(bytes, at)
  if (c === OPEN_OBJECT) return scanObject(bytes, at, depth, null)
  if (c === OPEN_ARRAY) return scanArray(bytes, at, depth, null)
  if (c === 0x74) return scanWord(bytes, at, 'true')
  if (c === 0x66) return scanWord(bytes, at, 'false')
  if (c === 0x6e) return scanWord(bytes, at, 'null')
  if (c === 0x2d || (c !== undefined && c >= 0x30 && c <= 0x39)) return scanNumber(bytes, at)
  throw new JsonSyntaxError(c === undefined ? 'the text ends where a value is expected' : 'a value is expected', at)
}

/** Scans `[…]` and tells `onElement` each element's [start, end). Returns the end of the array. @throws JsonSyntaxError */
export function scanArray(
  bytes: Uint8Array,
  at: number,
  depth: number,
  onElement: ((start: number, end: number) => void) | null,
): number {
  if (depth >= MAX_JSON_DEPTH) throw new JsonSyntaxError(`nesting is deeper than ${MAX_JSON_DEPTH}`, at)
  let i = skipSpace(bytes, at + 1)
  if (bytes[i] === CLOSE_ARRAY) return i + 1
  for (;;) {
    const end = scanValue(bytes, i, depth + 1)
    onElement?.(i, end)
    i = skipSpace(bytes, end)
    if (bytes[i] === CLOSE_ARRAY) return i + 1
    if (bytes[i] !== COMMA) throw expected(bytes, i, '`,` or `]`')
    i = skipSpace(bytes, i + 1)
  }
}

/** What `scanObject` says of a member: its name as written (with quotes) and its value. */
export type OnMember = (nameStart: number, nameEnd: number, start: number, end: number) => void

/** Scans `{…}`. Returns its end. @throws JsonSyntaxError */
export function scanObject(bytes: Uint8Array, at: number, depth: number, onMember: OnMember | null): number {
  if (depth >= MAX_JSON_DEPTH) throw new JsonSyntaxError(`nesting is deeper than ${MAX_JSON_DEPTH}`, at)
  let i = skipSpace(bytes, at + 1)
  if (bytes[i] === CLOSE_OBJECT) return i + 1
  for (;;) {
    if (bytes[i] !== QUOTE) throw expected(bytes, i, 'a property name in quotes')
    const nameStart = i
    const nameEnd = scanString(bytes, i)
    i = skipSpace(bytes, nameEnd)
    if (bytes[i] !== COLON) throw expected(bytes, i, '`:`')
    const start = skipSpace(bytes, i + 1)
    const end = scanValue(bytes, start, depth + 1)
    onMember?.(nameStart, nameEnd, start, end)
    i = skipSpace(bytes, end)
    if (bytes[i] === CLOSE_OBJECT) return i + 1
    if (bytes[i] !== COMMA) throw expected(bytes, i, '`,` or `}`')
    i = skipSpace(bytes, i + 1)
  }
}

function scanString(bytes: Uint8Array, at: number): number {
  for (let i = at + 1; i < bytes.length; i++) {
    const c = bytes[i]!
    if (c === QUOTE) return i + 1
    if (c === BACKSLASH) i = scanEscape(bytes, i)
    else if (c < 0x20) throw new JsonSyntaxError('a control character stands in a string', i)
  }
  throw new JsonSyntaxError('the text ends inside a string', bytes.length)
}

/** `at` is the backslash; returns the last byte of the escape. */
function scanEscape(bytes: Uint8Array, at: number): number {
  const c = bytes[at + 1]
  if (c === undefined) throw new JsonSyntaxError('the text ends inside a string', bytes.length)
  if (c !== 0x75) {
    // " \ / b f n r t
    if ([0x22, 0x5c, 0x2f, 0x62, 0x66, 0x6e, 0x72, 0x74].includes(c)) return at + 1
    throw new JsonSyntaxError('an escape is not known', at)
  }
  for (let i = at + 2; i < at + 6; i++) {
    const h = bytes[i]
    if (h === undefined) throw new JsonSyntaxError('the text ends inside a string', bytes.length)
    if (!isDigit(h) && !((h | 0x20) >= 0x61 && (h | 0x20) <= 0x66)) {
      throw new JsonSyntaxError('a \\u escape needs four hexadecimal digits', i)
    }
  }
  return at + 5
}

function scanWord(bytes: Uint8Array, at: number, word: string): number {
  for (let i = 0; i < word.length; i++) {
    if (bytes[at + i] !== word.charCodeAt(i)) throw new JsonSyntaxError(`\`${word}\` is expected`, at + i)
  }
  return at + word.length
}

const isDigit = (c: number | undefined): boolean => c !== undefined && c >= 0x30 && c <= 0x39

function scanNumber(bytes: Uint8Array, at: number): number {
  let i = bytes[at] === 0x2d ? at + 1 : at
  if (bytes[i] === 0x30) i++
  else i = scanDigits(bytes, i)
  if (bytes[i] === 0x2e) i = scanDigits(bytes, i + 1)
  if (bytes[i] === 0x65 || bytes[i] === 0x45) {
    i++
    if (bytes[i] === 0x2b || bytes[i] === 0x2d) i++
    i = scanDigits(bytes, i)
  }
  return i
}

function scanDigits(bytes: Uint8Array, at: number): number {
  let i = at
  while (isDigit(bytes[i])) i++
  if (i === at) throw expected(bytes, at, 'a digit')
  return i
}

function expected(bytes: Uint8Array, at: number, what: string): JsonSyntaxError {
  return at >= bytes.length
    ? new JsonSyntaxError(`the text ends where ${what} is expected`, bytes.length)
    : new JsonSyntaxError(`${what} is expected`, at)
}
