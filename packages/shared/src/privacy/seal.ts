import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync } from 'node:crypto'
import { MeshError } from '../core/errors.ts'

/** Keys that one secret stands for, each for one use. */
export type MasterKeys = {
  /** Names the secret without telling it; stands in every ciphertext. */
  readonly keyId: string
  readonly hash: Uint8Array
  /** Key-encryption key: wraps the subjects' data keys. */
  readonly wrap: Uint8Array
  /** Makes the names under which data keys are kept: a subject's own name is nowhere. */
  readonly name: Uint8Array
}

export const DATA_KEY_BYTES = 32
export const WRAP_NONCE_BYTES = 12
const TAG_BYTES = 16
const MIN_SECRET_CHARACTERS = 32
const FORM = /^mesh-enc\.1\.([0-9a-f]{8})\.([0-9a-f]{32})\.([A-Za-z0-9_-]+)$/

/** @param place what names the secret, for the error @throws MeshError MESH_SECRET_MISSING for one that is too short to be one */
export function masterKeys(secret: string, place: string): MasterKeys {
  if (secret.length < MIN_SECRET_CHARACTERS) {
    const message = `the secret has fewer than ${MIN_SECRET_CHARACTERS} characters`
    throw new MeshError('MESH_SECRET_MISSING', message, { place })
  }
  const use = (name: string): Uint8Array => derive(Buffer.from(secret), `mesh/privacy/1/${name}`)
  const keyId = createHash('sha256').update(use('id')).digest('hex').slice(0, 8)
  return { keyId, hash: use('hash'), wrap: use('wrap'), name: use('name') }
}

/** The name of a subject's key: 32 hexadecimal digits that only the secret's holder can make. */
export function subjectName(keys: MasterKeys, stream: string, subject: string): string {
  return createHmac('sha256', keys.name).update(`${stream}\0${subject}`).digest('hex').slice(0, 32)
}

/** @param nonce fresh random bytes */
export function wrapDataKey(
  keys: MasterKeys,
  dataKey: Uint8Array,
  { name, nonce }: { name: string; nonce: Uint8Array },
): Uint8Array {
  return Buffer.concat([nonce, seal(keys.wrap, dataKey, { nonce, about: name })])
}

/** @throws MeshError MESH_PRIVACY_KEY when it was wrapped under another secret or is damaged */
export function unwrapDataKey(keys: MasterKeys, wrapped: Uint8Array, name: string): Uint8Array {
  const [nonce, sealed] = [wrapped.subarray(0, WRAP_NONCE_BYTES), wrapped.subarray(WRAP_NONCE_BYTES)]
  return open(keys.wrap, sealed, { nonce, about: name })
}

/** HMAC-SHA-256: equal values stay equal, under one secret everywhere. */
export function hashValue(keys: MasterKeys, value: Uint8Array): Uint8Array {
  return createHmac('sha256', keys.hash).update(value).digest()
}

/**
 * A text of the same form: digits stay digits, letters letters of their case, all else stands where it stood. Equal values of one
 * subject give equal tokens; short values may collide. Not reversible.
 */
export function tokenOf(dataKey: Uint8Array, text: string): string {
  const key = derive(dataKey, 'token')
  let stream = Buffer.alloc(0)
  let at = 0
  const next = (): number => {
    if (at >= stream.length) {
      stream = createHmac('sha256', key)
        .update(`${text}\0${stream.toString('hex')}`)
        .digest()
      at = 0
    }
    return stream[at++]!
  }
  return text.replaceAll(/[0-9A-Za-z]/g, (c) => {
    const [first, size] = c <= '9' ? [48, 10] : c <= 'Z' ? [65, 26] : [97, 26]
    // 16 bits: the bias of the remainder is below 1 in 2,500.
    return String.fromCharCode(first + (((next() << 8) | next()) % size))
  })
}

export type CiphertextPlace = { readonly keyId: string; readonly name: string; readonly about: string }

/**
 * `mesh-enc.1.<key id>.<name of the data key>.<nonce, ciphertext and tag, base64url>`. The nonce is made of the value itself (a
 * synthetic IV), so that a replay gives equal bytes; equal values of one subject and field show as equal. `about` (stream and field)
 * is authenticated: a ciphertext put into another field does not open.
 */
export function encryptValue(dataKey: Uint8Array, value: Uint8Array, { keyId, name, about }: CiphertextPlace): string {
  const nonce = createHmac('sha256', derive(dataKey, 'nonce'))
    .update(`${about}\0`)
    .update(value)
    .digest()
    .subarray(0, 12)
  const sealed = seal(derive(dataKey, 'encrypt'), value, { nonce, about })
  return `mesh-enc.1.${keyId}.${name}.${Buffer.concat([nonce, sealed]).toString('base64url')}`
}

export type Ciphertext = { readonly keyId: string; readonly name: string; readonly sealed: Uint8Array }

/** Null for a text that is none. */
export function parseCiphertext(text: string): Ciphertext | null {
  const match = FORM.exec(text)
  return match && { keyId: match[1]!, name: match[2]!, sealed: Buffer.from(match[3]!, 'base64url') }
}

/** @throws MeshError MESH_PRIVACY_KEY when it is of another field, or damaged */
export function decryptValue(dataKey: Uint8Array, { sealed }: Ciphertext, about: string): Uint8Array {
  return open(derive(dataKey, 'encrypt'), sealed.subarray(12), { nonce: sealed.subarray(0, 12), about })
}

type Sealing = { readonly nonce: Uint8Array; readonly about: string }

function seal(key: Uint8Array, value: Uint8Array, { nonce, about }: Sealing): Uint8Array {
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(about))
  return Buffer.concat([cipher.update(value), cipher.final(), cipher.getAuthTag()])
}

function open(key: Uint8Array, sealed: Uint8Array, { nonce, about }: Sealing): Uint8Array {
  try {
    const body = sealed.subarray(0, sealed.length - TAG_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(about))
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    return Buffer.concat([decipher.update(body), decipher.final()])
  } catch (error) {
    throw new MeshError('MESH_PRIVACY_KEY', 'it does not open: another secret, another field, or damaged', {
      cause: error,
    })
  }
}

const derive = (key: Uint8Array, use: string): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), use, DATA_KEY_BYTES))
