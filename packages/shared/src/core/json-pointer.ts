/** JSON Pointer (RFC 6901): `''` is the whole value, `/a/0` the first element of `a`; `~1` is `/`, `~0` is `~`. */
const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/
const INDEX = /^(?:0|[1-9]\d*)$/

export function isPointer(text: string): boolean {
  return POINTER.test(text)
}

/** Pointers stand in contracts, so there are few; beyond this many the memory starts anew. */
const MAX_KNOWN = 1000
const known = new Map<string, readonly string[]>()

/** The reference tokens of a valid pointer, unescaped. */
export function pointerTokens(pointer: string): readonly string[] {
  const found = known.get(pointer)
  if (found) return found
  const tokens = pointer === '' ? [] : pointer.slice(1).split('/').map(unescapeToken)
  if (known.size >= MAX_KNOWN) known.clear()
  known.set(pointer, tokens)
  return tokens
}

/** The value a pointer names, or undefined when there is none. Reads own properties only. */
export function at(value: unknown, pointer: string | readonly string[]): unknown {
  let here = value
  for (const token of typeof pointer === 'string' ? pointerTokens(pointer) : pointer) {
    if (typeof here !== 'object' || here === null) return undefined
    if (Array.isArray(here)) {
      here = INDEX.test(token) ? (here as unknown[])[Number(token)] : undefined
    } else {
      here = Object.hasOwn(here, token) ? (here as Record<string, unknown>)[token] : undefined
    }
  }
  return here
}

function unescapeToken(token: string): string {
  return token.includes('~') ? token.replaceAll('~1', '/').replaceAll('~0', '~') : token
}
