import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createFolderObjectStore } from '../../../src/lake/folder-object-store.ts'
import { createMemoryKeyStore, type KeyStore } from '../../../src/privacy/key-store.ts'
import { createObjectKeyStore } from '../../../src/privacy/object-key-store.ts'
import { createMemoryObjectStore } from '../../../src/testing/memory-object-store.ts'

async function inFolder(): Promise<KeyStore> {
  const folder = await mkdtemp(join(tmpdir(), 'mesh-keys-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return createObjectKeyStore(createFolderObjectStore(folder))
}

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)

describe.each([
  ['in memory', async () => createMemoryKeyStore()],
  ['as objects in memory', async () => createObjectKeyStore(createMemoryObjectStore())],
  ['as objects in a folder', inFolder],
] as const)('a key store %s', (_name, open) => {
  it('keeps the first key, whoever comes later', async () => {
    const store = await open()
    expect(await store.find('orders', 'a')).toBeNull()
    const kept = await Promise.all([1, 2, 3].map((n) => store.keep('orders', 'a', bytes(n))))
    const winner = await store.find('orders', 'a')
    expect(winner).toMatchObject({ kind: 'key' })
    for (const one of kept) expect(one).toEqual(winner)
    expect(await store.keep('orders', 'a', bytes(9))).toEqual(winner)
  })

  it('keeps streams and names apart', async () => {
    const store = await open()
    await store.keep('orders', 'a', bytes(1))
    expect(await store.find('orders', 'b')).toBeNull()
    expect(await store.find('flights', 'a')).toBeNull()
  })

  it('an erased key is gone for good, and none takes its place', async () => {
    const store = await open()
    await store.keep('orders', 'a', bytes(1))
    await store.erase('orders', 'a')
    await store.erase('orders', 'a')
    expect(await store.find('orders', 'a')).toEqual({ kind: 'erased' })
    expect(await store.keep('orders', 'a', bytes(2))).toEqual({ kind: 'erased' })
    expect(await store.erased('orders')).toEqual(new Set(['a']))
    expect(await store.erased('flights')).toEqual(new Set())
  })

  it('a subject may be erased before it was ever seen', async () => {
    const store = await open()
    await store.erase('orders', 'x')
    expect(await store.keep('orders', 'x', bytes(1))).toEqual({ kind: 'erased' })
  })

  it('an erasure at the same time as a first key leaves no key', async () => {
    const store = await open()
    await Promise.all([
      store.keep('orders', 'a', bytes(1)),
      store.erase('orders', 'a'),
      store.keep('orders', 'a', bytes(2)),
    ])
    expect(await store.find('orders', 'a')).toEqual({ kind: 'erased' })
  })
})

it('an erasure between looking and creating takes the key away again', async () => {
  const objects = createMemoryObjectStore()
  const plain = createObjectKeyStore(objects)
  const racing = createObjectKeyStore({
    ...objects,
    async create(key, content) {
      await plain.erase('orders', 'a')
      return objects.create(key, content)
    },
  })
  expect(await racing.keep('orders', 'a', bytes(1))).toEqual({ kind: 'erased' })
  expect(await objects.get('privacy/orders/a.key')).toBeNull()
})
