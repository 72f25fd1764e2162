import { createHash, timingSafeEqual } from 'node:crypto'
import { MeshError } from '@mesh/shared/core/errors'

/** A key's SHA-256 and the principal it stands for. The key itself is not kept. */
export type ApiKey = { readonly principal: string; readonly digest: Uint8Array }

const PRINCIPAL = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

/** Reads `name:key` pairs. @throws MeshError MESH_CONFIG_INVALID naming the entry by its number, never its text. */
export function readApiKeys(entries: readonly string[]): readonly ApiKey[] {
  return entries.map((entry, i) => {
    const colon = entry.indexOf(':')
    const principal = entry.slice(0, Math.max(colon, 0))
    const key = entry.slice(colon + 1)
    if (!PRINCIPAL.test(principal) || key === '') {
      throw new MeshError('MESH_CONFIG_INVALID', `API key ${i + 1} is not a name:key pair`)
    }
    return { principal, digest: sha256(key) }
  })
}

/**
 * The principal of a request's credential: `Authorization: Bearer <key>` or `X-API-Key: <key>`. Every key is compared, each in
 * constant time. @throws MeshError MESH_AUTH_MISSING, MESH_AUTH_INVALID
 */
export function authenticate(
  keys: readonly ApiKey[],
  credential: { readonly authorization: string | undefined; readonly apiKey: string | undefined },
): string {
  const presented = credential.apiKey ?? bearerToken(credential.authorization)
  if (presented === null || presented === '') {
    throw new MeshError(
      'MESH_AUTH_MISSING',
      'the request has no API key: send Authorization: Bearer <key> or X-API-Key',
    )
  }
  const digest = sha256(presented)
  let principal: string | null = null
  for (const key of keys) if (timingSafeEqual(key.digest, digest)) principal ??= key.principal
  if (principal === null) throw new MeshError('MESH_AUTH_INVALID', 'the API key is not known')
  return principal
}

function bearerToken(authorization: string | undefined): string | null {
  return /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1] ?? null
}

const sha256 = (text: string): Uint8Array => createHash('sha256').update(text).digest()
