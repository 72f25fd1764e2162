import { createHmac, timingSafeEqual } from 'node:crypto'
import { MeshError } from '@mesh/shared/core/errors'

const SIGNATURE = /^sha256=([0-9a-f]{64})$/i

/**
 * Checks GitHub's `X-Hub-Signature-256: sha256=<hex HMAC-SHA256 of the body>` over the bytes as received. Several secrets =
 * rotation: one must match, all are compared, each in constant time.
 * Source: GitHub docs, "Validating webhook deliveries".
 * @throws MeshError MESH_SIGNATURE_MISSING, MESH_SIGNATURE_INVALID; MESH_SECRET_MISSING without a usable secret (fails closed).
 */
export function verifyGithubSignature(
  body: Uint8Array,
  signature: string | undefined,
  secrets: readonly string[],
): void {
  const given = readGithubSignature(signature)
  const usable = secrets.filter((secret) => secret !== '')
  if (usable.length === 0) throw new MeshError('MESH_SECRET_MISSING', 'no secret of the webhook is set')
  let valid = false
  for (const secret of usable) {
    if (timingSafeEqual(createHmac('sha256', secret).update(body).digest(), given)) valid = true
  }
  if (!valid) throw new MeshError('MESH_SIGNATURE_INVALID', 'X-Hub-Signature-256 does not match the body')
}

/** The 32 bytes of the header; lets a request without a readable signature be refused before its body is read. */
export function readGithubSignature(signature: string | undefined): Uint8Array {
  if (signature === undefined || signature === '') {
    throw new MeshError('MESH_SIGNATURE_MISSING', 'the delivery has no X-Hub-Signature-256 header')
  }
  const hex = SIGNATURE.exec(signature)?.[1]
  if (hex === undefined) {
    throw new MeshError('MESH_SIGNATURE_INVALID', 'X-Hub-Signature-256 is not sha256= and 64 hexadecimal digits')
  }
  return Buffer.from(hex, 'hex')
}
