import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { ObjectStore } from '../lake/object-store.ts'

export type OpenedStore = { readonly store: ObjectStore; readonly close: () => Promise<void> }

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

export async function keysUnder(store: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = []
  for await (const key of store.list(prefix)) keys.push(key)
  return keys
}

/** What every object store keeps, real or in memory. `open` gives an empty store. */
export function describeObjectStore(name: string, open: () => Promise<OpenedStore>): void {
  describe(`object store contract: ${name}`, () => {
    let opened: OpenedStore
    let store: ObjectStore
    beforeAll(async () => {
      opened = await open()
      store = opened.store
    })
    afterAll(async () => {
      await opened?.close()
    })

    it('gives back the bytes of an object, and null for a key without one', async () => {
      const all = Uint8Array.from({ length: 256 }, (_, i) => i)
      expect(await store.create('read/all.bin', all)).toBe('created')
      expect(Buffer.from((await store.get('read/all.bin'))!).equals(all)).toBe(true)
      expect(await store.size('read/all.bin')).toBe(256)
      expect(await store.get('read/none.bin')).toBeNull()
      expect(await store.size('read/none.bin')).toBeNull()
      expect(await store.getRange('read/none.bin', 0, 10)).toBeNull()
      expect(await store.getRange('read/none.bin', 5, 5)).toBeNull()
    })

    it('keeps an empty object apart from no object', async () => {
      expect(await store.create('empty/here', new Uint8Array(0))).toBe('created')
      expect((await store.get('empty/here'))?.byteLength).toBe(0)
      expect(await store.size('empty/here')).toBe(0)
      expect((await store.getRange('empty/here', 0, 8))?.byteLength).toBe(0)
    })

    it('reads ranges, clipped to the object', async () => {
      await store.create('range/digits', bytes('0123456789'))
      const text = async (start: number, end: number): Promise<string> =>
        Buffer.from((await store.getRange('range/digits', start, end))!).toString()
      expect(await text(0, 1)).toBe('0')
      expect(await text(3, 7)).toBe('3456')
      expect(await text(8, 100)).toBe('89')
      expect(await text(10, 20)).toBe('')
      expect(await text(4, 4)).toBe('')
    })

    it('leaves an existing object untouched', async () => {
      expect(await store.create('once/object', bytes('first'))).toBe('created')
      expect(await store.create('once/object', bytes('second'))).toBe('exists')
      expect(await store.create('once/object', bytes('first'))).toBe('exists')
      expect(Buffer.from((await store.get('once/object'))!).toString()).toBe('first')
    })

    it('lets one of 20 racing writers win, and keeps its bytes whole', async () => {
      for (const size of [10, 400_000]) {
        const bodies = Array.from({ length: 20 }, (_, i) => Buffer.alloc(size, 65 + i))
        const outcomes = await Promise.all(bodies.map((body) => store.create(`race/of-${size}`, body)))
        expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1)
        const kept = await store.get(`race/of-${size}`)
        expect(bodies[outcomes.indexOf('created')]!.equals(kept!)).toBe(true)
      }
    })

    it('lists the keys under a prefix in order of bytes', async () => {
      const keys = [
        'a/b',
        'a/é',
        'a/😀',
        'a-c',
        'a.d',
        'ab',
        'a/b-c/d',
        'a/\uFFFD',
        'A/z',
        'a/b.c/d',
        'a/00010',
        'a/00009',
      ]
      for (const key of keys) await store.create(`list/${key}`, bytes(key))
      const expected = keys.map((key) => `list/${key}`).sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)))
      expect(await keysUnder(store, 'list/')).toEqual(expected)
      expect(await keysUnder(store, 'list/a/b')).toEqual(expected.filter((key) => key.startsWith('list/a/b')))
      expect(await keysUnder(store, 'list/a/000')).toEqual(['list/a/00009', 'list/a/00010'])
      expect(await keysUnder(store, 'nothing/')).toEqual([])
    })

    it('lists more keys than fit in a page', async () => {
      const keys = Array.from({ length: 1_050 }, (_, i) => `pages/${String(i).padStart(20, '0')}`)
      for (let i = 0; i < keys.length; i += 50) {
        await Promise.all(keys.slice(i, i + 50).map((key) => store.create(key, bytes('x'))))
      }
      expect(await keysUnder(store, 'pages/')).toEqual(keys)
    })

    it('frees the key of a deleted object', async () => {
      await store.create('gone/object', bytes('one'))
      await store.delete('gone/object')
      await store.delete('gone/object')
      expect(await store.get('gone/object')).toBeNull()
      expect(await keysUnder(store, 'gone/')).toEqual([])
      expect(await store.create('gone/object', bytes('two'))).toBe('created')
    })

    it('refuses keys that would not be the same name everywhere', async () => {
      for (const key of ['', '/a', 'a/', 'a//b', 'a/../b', './a', '.tmp/a', 'a\\b', 'a\nb', 'x'.repeat(1_025)]) {
        await expect(store.create(key, bytes('x'))).rejects.toMatchObject({ code: 'MESH_LAKE_KEY_INVALID' })
        await expect(Promise.resolve().then(() => store.get(key))).rejects.toMatchObject({
          code: 'MESH_LAKE_KEY_INVALID',
        })
      }
    })
  })
}
