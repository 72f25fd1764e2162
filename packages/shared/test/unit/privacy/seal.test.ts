import { describe, expect, it } from 'vitest'
import {
  decryptValue,
  encryptValue,
  hashValue,
  masterKeys,
  parseCiphertext,
  subjectName,
  tokenOf,
  unwrapDataKey,
  wrapDataKey,
} from '../../../src/privacy/seal.ts'

const keys = masterKeys('a secret of at least thirty-two characters', 'env:KEY')
const others = masterKeys('another secret of at least 32 characters', 'env:KEY')
const dataKey = new Uint8Array(32).fill(7)
const otherKey = new Uint8Array(32).fill(8)
const bytes = (text: string): Uint8Array => Buffer.from(text)
const place = { keyId: keys.keyId, name: subjectName(keys, 'orders', 'ada'), about: 'orders\0/email' }

describe('keys of a secret', () => {
  it('differ by use and by secret, and their id tells nothing', () => {
    const all = [keys.hash, keys.wrap, keys.name, others.hash].map((key) => Buffer.from(key).toString('hex'))
    expect(new Set(all).size).toBe(4)
    expect(keys.keyId).toMatch(/^[0-9a-f]{8}$/)
    expect(masterKeys('a secret of at least thirty-two characters', 'x').keyId).toBe(keys.keyId)
  })

  it('are none of a short secret, and the error does not tell it', () => {
    expect(() => masterKeys('short', 'env:KEY')).toThrow(
      expect.objectContaining({ code: 'MESH_SECRET_MISSING', place: 'env:KEY' }),
    )
  })

  it('name a subject by stream, without its name', () => {
    expect(place.name).toMatch(/^[0-9a-f]{32}$/)
    expect(subjectName(keys, 'other', 'ada')).not.toBe(place.name)
    expect(subjectName(others, 'orders', 'ada')).not.toBe(place.name)
  })

  it('wrap a data key for one name only', () => {
    const wrapped = wrapDataKey(keys, dataKey, { name: place.name, nonce: new Uint8Array(12) })
    expect(new Uint8Array(unwrapDataKey(keys, wrapped, place.name))).toEqual(dataKey)
    const refused = expect.objectContaining({ code: 'MESH_PRIVACY_KEY' })
    expect(() => unwrapDataKey(others, wrapped, place.name)).toThrow(refused)
    expect(() => unwrapDataKey(keys, wrapped, 'another')).toThrow(refused)
  })
})

describe('a hash', () => {
  it('is HMAC-SHA-256: equal for equal values under one secret', () => {
    expect(hashValue(keys, bytes('a'))).toEqual(hashValue(keys, bytes('a')))
    expect(hashValue(keys, bytes('a'))).toHaveLength(32)
    expect(hashValue(others, bytes('a'))).not.toEqual(hashValue(keys, bytes('a')))
  })
})

describe('a token', () => {
  it.each(['+49 (0)30 1234-5678', 'Ada.Lovelace@example.com', 'X', '', 'Größe 12', 'a'.repeat(200)])(
    'keeps the form of %j',
    (text) => {
      const form = (of: string): string => of.replaceAll(/\d/g, '9').replaceAll(/[a-z]/g, 'a').replaceAll(/[A-Z]/g, 'A')
      expect(form(tokenOf(dataKey, text))).toBe(form(text))
      expect(tokenOf(dataKey, text)).toBe(tokenOf(dataKey, text))
    },
  )

  it('differs by value and by subject', () => {
    const tokens = ['4111111111111111', '4111111111111112'].flatMap((text) => [
      tokenOf(dataKey, text),
      tokenOf(otherKey, text),
    ])
    expect(new Set(tokens).size).toBe(4)
    expect(tokens).not.toContain('4111111111111111')
  })
})

describe('a ciphertext', () => {
  it('opens to what was sealed, whatever it was', () => {
    for (const text of ['', 'ada@example.com', '\0😀', 'x'.repeat(10_000)]) {
      const sealed = encryptValue(dataKey, bytes(text), place)
      const parsed = parseCiphertext(sealed)!
      expect(parsed).toMatchObject({ keyId: keys.keyId, name: place.name })
      expect(Buffer.from(decryptValue(dataKey, parsed, place.about)).toString()).toBe(text)
    }
  })

  it('is the same again, so that a replay gives equal bytes; another value has another nonce', () => {
    const nonce = (text: string): string => Buffer.from(parseCiphertext(text)!.sealed.subarray(0, 12)).toString('hex')
    const [a, b] = [encryptValue(dataKey, bytes('a'), place), encryptValue(dataKey, bytes('b'), place)]
    expect(encryptValue(dataKey, bytes('a'), place)).toBe(a)
    expect(nonce(a)).not.toBe(nonce(b))
    expect(nonce(encryptValue(dataKey, bytes('a'), { ...place, about: 'orders\0/name' }))).not.toBe(nonce(a))
  })

  it('does not open under another key, in another field, or changed', () => {
    const sealed = encryptValue(dataKey, bytes('a'), place)
    const parsed = parseCiphertext(sealed)!
    const changed = Uint8Array.from(parsed.sealed)
    changed[14]! ^= 1
    const refused = expect.objectContaining({ code: 'MESH_PRIVACY_KEY' })
    expect(() => decryptValue(otherKey, parsed, place.about)).toThrow(refused)
    expect(() => decryptValue(dataKey, parsed, 'orders\0/name')).toThrow(refused)
    expect(() => decryptValue(dataKey, { ...parsed, sealed: changed }, place.about)).toThrow(refused)
    expect(() => decryptValue(dataKey, { ...parsed, sealed: new Uint8Array(3) }, place.about)).toThrow(refused)
  })

  it.each(['', 'ada', 'mesh-enc.2.00000000.x.y', `mesh-enc.1.0000.${'0'.repeat(32)}.AA`])('is not %j', (text) => {
    expect(parseCiphertext(text)).toBeNull()
  })
})
