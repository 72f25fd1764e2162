import { asBuffer } from './json-text.ts'

/** A name that can be written in one other way only: with \u. One that begins with a digit may be an index. */
const PLAIN = /^[A-Za-z_$][\w$.-]*$/
/** Names stand in contracts, so there are few; beyond this many the memory starts anew. */
const MAX_KNOWN = 1000
const ends = new Map<string, string | null>()

/**
 * The source characters of an integer that was parsed from `source`, found by the name of its member; null when only reading the
 * whole text can tell (`sourceAt`). A name that stands in the text once, with no `\u` anywhere, is the member that was parsed; an
 * integer's characters differ from its canonical ones only by a fraction, an exponent or the sign of zero.
 */
export function integerSource(
  source: string | Uint8Array,
  tokens: readonly string[],
  value: number | bigint,
): string | null {
  const name = endOfName(tokens.at(-1))
  if (name === null || (typeof value === 'number' && !Number.isSafeInteger(value))) return null
  // Names of this form are ASCII, and no byte of another character is.
  const text = typeof source === 'string' ? source : asBuffer(source).toString('latin1')
  const found = text.indexOf(name)
  if (found === -1 || text.charCodeAt(found - 1) !== QUOTE) return null
  if (text.indexOf(name, found + 1) !== -1 || text.includes('\\u')) return null
  let at = skipSpace(text, found + name.length)
  if (text.charCodeAt(at) !== COLON) return null
  at = skipSpace(text, at + 1)
  const canonical = String(value)
  return text.startsWith(canonical, at) && !goesOn(text.charCodeAt(at + canonical.length)) ? canonical : null
}

/** Without the quote before it: a search by a character that is everywhere stops at each of them. */
function endOfName(token: string | undefined): string | null {
  if (token === undefined) return null
  const known = ends.get(token)
  if (known !== undefined) return known
  const end = PLAIN.test(token) ? `${token}"` : null
  if (ends.size >= MAX_KNOWN) ends.clear()
  ends.set(token, end)
  return end
}

function skipSpace(text: string, at: number): number {
  let i = at
  for (;;) {
    const c = text.charCodeAt(i)
    if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return i
    i++
  }
}

/** A digit, a point or an exponent: the number is not over yet. NaN, the end of the text, is none. */
function goesOn(c: number): boolean {
  return (c >= 0x30 && c <= 0x39) || c === 0x2e || c === 0x65 || c === 0x45
}

const COLON = 0x3a
const QUOTE = 0x22
