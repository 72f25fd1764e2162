import { Buffer, isUtf8 } from 'node:buffer'
import { MeshError } from './errors.ts'
import { JsonSyntaxError, scanArray, scanObject, scanValue, skipSpace } from './json-scan.ts'
import { byteOrderMark, jsonError } from './json-text.ts'

/**
 * The events of a JSON body as exact byte slices (views, not copies): the elements of a top-level array, or the whole value
 * without the white space around it. A body that is not valid JSON as a whole gives no event at all.
 * @throws MeshError MESH_BODY_EMPTY, MESH_BODY_ENCODING, MESH_BODY_TOO_MANY, MESH_EVENT_JSON (with the place).
 */
export function jsonSlices(body: Uint8Array, maxSlices: number = Infinity): Uint8Array[] {
  if (!isUtf8(body)) throw new MeshError('MESH_BODY_ENCODING', 'the body is not UTF-8')
  const start = skipSpace(body, byteOrderMark(body))
  if (start >= body.length) throw new MeshError('MESH_BODY_EMPTY', 'the body holds no event')
  const slices: Uint8Array[] = []
  try {
    const isArray = body[start] === 0x5b
    const end = isArray
      ? scanArray(body, start, 0, (from, to) => {
          if (slices.length >= maxSlices) throw tooMany(maxSlices)
          slices.push(body.subarray(from, to))
        })
      : scanValue(body, start)
    if (!isArray) slices.push(body.subarray(start, end))
    const rest = skipSpace(body, end)
    if (rest < body.length) throw new JsonSyntaxError('text follows the value', rest)
  } catch (error) {
    throw error instanceof JsonSyntaxError ? jsonError(error, body) : error
  }
  return slices
}

/** One NDJSON line: its exact slice (no white space around it), or its own error; neighbours are not affected. Lines count from 1. */
export type NdjsonLine =
  | { readonly line: number; readonly bytes: Uint8Array; readonly error: null }
  | { readonly line: number; readonly bytes: null; readonly error: MeshError }

/** Splits NDJSON. Blank lines are skipped, CRLF and a last line without a line feed are taken. @throws MESH_BODY_EMPTY, MESH_BODY_TOO_MANY */
export function ndjsonLines(body: Uint8Array, maxLines: number = Infinity): NdjsonLine[] {
  const lines: NdjsonLine[] = []
  let number = 0
  for (let from = byteOrderMark(body); from < body.length; ) {
    const lineFeed = body.indexOf(0x0a, from)
    const to = lineFeed === -1 ? body.length : lineFeed
    number++
    const line = ndjsonLine(body.subarray(from, to), number)
    if (line && lines.length >= maxLines) throw tooMany(maxLines)
    if (line) lines.push(line)
    from = to + 1
  }
  if (lines.length === 0) throw new MeshError('MESH_BODY_EMPTY', 'the body holds no event')
  return lines
}

const tooMany = (limit: number): MeshError =>
  new MeshError('MESH_BODY_TOO_MANY', `the body holds more than ${limit} events`)

function ndjsonLine(bytes: Uint8Array, line: number): NdjsonLine | null {
  const start = skipSpace(bytes, 0)
  if (start >= bytes.length) return null
  const place = `line ${line}`
  if (!isUtf8(bytes)) {
    return { line, bytes: null, error: new MeshError('MESH_BODY_ENCODING', 'the line is not UTF-8', { place }) }
  }
  try {
    const end = scanValue(bytes, start)
    const rest = skipSpace(bytes, end)
    if (rest < bytes.length) throw new JsonSyntaxError('text follows the value', rest)
    return { line, bytes: bytes.subarray(start, end), error: null }
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error
    const reason = `${error.message} (line ${line}, byte ${error.offset} of the line)`
    return { line, bytes: null, error: new MeshError('MESH_EVENT_JSON', reason, { place }) }
  }
}

/**
 * The characters of the value at a pointer, as the sender wrote them (`1.0` stays `1.0`), or null when there is none. As in
 * JSON.parse the last of two equal names wins. `bytes` is valid JSON.
 */
export function sourceAt(bytes: Uint8Array, tokens: readonly string[]): string | null {
  const slice = sliceAt(bytes, tokens)
  return slice === null ? null : Buffer.from(slice.buffer, slice.byteOffset, slice.byteLength).toString('utf8')
}

/** As `sourceAt`: a view of the value's bytes. */
export function sliceAt(bytes: Uint8Array, tokens: readonly string[]): Uint8Array | null {
  let start = skipSpace(bytes, byteOrderMark(bytes))
  let end = -1
  for (const token of tokens) {
    const found = childSpan(bytes, start, token)
    if (!found) return null
    start = found[0]
    end = found[1]
  }
  return bytes.subarray(start, end === -1 ? scanValue(bytes, start) : end)
}

function childSpan(bytes: Uint8Array, start: number, token: string): [number, number] | null {
  let found: [number, number] | null = null
  if (bytes[start] === 0x7b) {
    scanObject(bytes, start, 0, (nameStart, nameEnd, from, to) => {
      if (isName(bytes, nameStart, nameEnd, token)) found = [from, to]
    })
  } else if (bytes[start] === 0x5b && /^(?:0|[1-9]\d*)$/.test(token)) {
    let index = 0
    scanArray(bytes, start, 0, (from, to) => {
      if (index++ === Number(token)) found = [from, to]
    })
  }
  return found
}

/** Compares a member's name, which stands in quotes at [start, end), without building it where it is plain ASCII. */
function isName(bytes: Uint8Array, start: number, end: number, token: string): boolean {
  for (let i = start + 1; i < end - 1; i++) {
    const c = bytes[i]!
    if (c === BACKSLASH || c > 0x7f) {
      return JSON.parse(Buffer.from(bytes.subarray(start, end)).toString('utf8')) === token
    }
    if (c !== token.charCodeAt(i - start - 1)) return false
  }
  return end - start - 2 === token.length
}

const BACKSLASH = 0x5c
