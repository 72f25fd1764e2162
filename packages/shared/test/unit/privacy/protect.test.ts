import { describe, expect, it } from 'vitest'
import type { PrivacyRule } from '../../../src/core/contract.ts'
import { createMemoryKeyStore } from '../../../src/privacy/key-store.ts'
import { createProtect, ERASED, fieldOf, SubjectKeysMissing } from '../../../src/privacy/protect.ts'
import { decryptValue, masterKeys, parseCiphertext, subjectName, unwrapDataKey } from '../../../src/privacy/seal.ts'
import { createSubjectKeys } from '../../../src/privacy/subject-keys.ts'

const keys = masterKeys('a secret of at least thirty-two characters', 'env:KEY')
const RULES: readonly PrivacyRule[] = [
  { at: '/email', as: 'hash', subject: null },
  { at: '/phone', as: 'token', subject: '/userId' },
  { at: '/address/street', as: 'encrypt', subject: '/userId' },
  { at: '/photo', as: 'encrypt', subject: '/userId' },
]

function protector(store = createMemoryKeyStore(), rules = RULES) {
  let clock = 0
  let seed = 0
  let erased = 0
  const subjects = createSubjectKeys({
    stream: 'orders',
    keys,
    store,
    holdMs: 100,
    maxSubjects: 2,
    now: () => clock,
    randomBytes: (count) => new Uint8Array(count).fill(++seed),
  })
  const protect = createProtect({ stream: 'orders', rules, keys, subjects, onErased: () => void erased++ })
  async function protectedRecord(record: unknown): Promise<unknown> {
    try {
      return protect(record)
    } catch (error) {
      if (!(error instanceof SubjectKeysMissing)) throw error
      for (const subject of error.subjects) await subjects.fetch(subject)
      return protectedRecord(record)
    }
  }
  return {
    store,
    protect,
    protectedRecord,
    pass: (ms: number) => {
      clock += ms
    },
    erasedValues: () => erased,
  }
}

const RECORD = {
  userId: 42,
  email: 'ada@example.com',
  phone: '+49 30 1234',
  address: { street: 'Main St 1', city: 'Berlin' },
  photo: Uint8Array.of(1, 2, 3),
  note: 'kept',
}
type Protected = {
  email: string
  phone: string
  address: { street: string; city: string }
  photo: Uint8Array
  note: string
}

async function opened(store: ReturnType<typeof createMemoryKeyStore>, text: string, at: string): Promise<Uint8Array> {
  const name = subjectName(keys, 'orders', '42')
  const kept = await store.find('orders', name)
  if (kept?.kind !== 'key') throw new Error('no key')
  return decryptValue(unwrapDataKey(keys, kept.wrapped, name), parseCiphertext(text)!, fieldOf('orders', at))
}

describe('protecting a record', () => {
  it('protects what the rules name, in a copy, and nothing else', async () => {
    const { protectedRecord, store } = protector()
    const before = structuredClone(RECORD)
    const result = (await protectedRecord(RECORD)) as Protected
    expect(RECORD).toEqual(before)
    expect(result).toMatchObject({ userId: 42, note: 'kept', address: { city: 'Berlin' } })
    expect(result.email).toMatch(/^[0-9a-f]{64}$/)
    expect(result.phone).toMatch(/^\+\d\d \d\d \d{4}$/)
    expect(Buffer.from(await opened(store, result.address.street, '/address/street')).toString()).toBe('Main St 1')
    const photo = Buffer.from(result.photo).toString('latin1')
    expect(new Uint8Array(await opened(store, photo, '/photo'))).toEqual(RECORD.photo)
  })

  it('gives equal bytes again, in another process too', async () => {
    const first = protector()
    const again = protector(first.store)
    expect(await again.protectedRecord(RECORD)).toEqual(await first.protectedRecord(RECORD))
  })

  it('leaves null and missing fields alone', async () => {
    const { protectedRecord } = protector()
    const record = { userId: 42, email: null, address: null }
    expect(await protectedRecord(record)).toEqual(record)
  })

  it('refuses a value whose subject is missing', async () => {
    const { protectedRecord } = protector()
    await expect(protectedRecord({ ...RECORD, userId: null })).rejects.toMatchObject({ code: 'MESH_PRIVACY_SUBJECT' })
    await expect(protectedRecord({ ...RECORD, userId: '' })).rejects.toMatchObject({ code: 'MESH_PRIVACY_SUBJECT' })
  })

  it('an erased subject leaves a fixed text, counted, once its erasure is noticed', async () => {
    const { protectedRecord, store, pass, erasedValues } = protector()
    await protectedRecord(RECORD)
    await store.erase('orders', subjectName(keys, 'orders', '42'))
    pass(100)
    const result = (await protectedRecord(RECORD)) as Protected
    expect([result.phone, result.address.street, Buffer.from(result.photo).toString()]).toEqual([
      ERASED,
      ERASED,
      ERASED,
    ])
    expect(result.email).toMatch(/^[0-9a-f]{64}$/)
    expect(erasedValues()).toBe(3)
  })

  it('a replay does not bring an erased subject back', async () => {
    const { store } = protector()
    await store.erase('orders', subjectName(keys, 'orders', '42'))
    const later = protector(store)
    expect(((await later.protectedRecord(RECORD)) as Protected).phone).toBe(ERASED)
    expect(await store.find('orders', subjectName(keys, 'orders', '42'))).toEqual({ kind: 'erased' })
  })

  it('asks for the keys of all subjects at once, and holds a bounded number', async () => {
    const rules: PrivacyRule[] = ['a', 'b'].map((n) => ({ at: `/${n}`, as: 'encrypt', subject: `/${n}Of` }))
    const { protect, protectedRecord } = protector(createMemoryKeyStore(), rules)
    const record = { a: 'x', aOf: 'ada', b: 'y', bOf: 'bob' }
    expect(() => protect(record)).toThrow(expect.objectContaining({ subjects: ['ada', 'bob'] }))
    const first = await protectedRecord(record)
    await protectedRecord({ a: 'x', aOf: 'eve' })
    expect(() => protect(record)).toThrow(expect.objectContaining({ subjects: ['ada'] }))
    expect(await protectedRecord(record)).toEqual(first)
  })
})
