/** JSON Pointer (RFC 6901): `''` is the whole value, `/a/0` the first element of `a`; `~1` is `/`, `~0` is `~`. */
const POINTER = /^(?:\/(?:[^~/]|~[01])*)*$/
const INDEX = /^(?:0|[1-9]\d*)$/

export function isPointer(text: string): boolean {
  return POINTER.test(text)
}

/** The reference tokens of a valid pointer, unescaped. */
export function pointerTokens(pointer: string): string[] {
  return pointer === '' ? [] : pointer.slice(1).split('/').map(unescapeToken)
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
