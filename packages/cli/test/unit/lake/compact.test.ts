import { BRONZE_COLUMNS } from '@mesh/shared/lake/bronze'
import { type ChainLink, listChain, walkChain } from '@mesh/shared/lake/chain'
import { chainKey, mergedKey } from '@mesh/shared/lake/chain-names'
import { createMemoryObjectStore, type MemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { describe, expect, test } from 'vitest'
import { type CompactOptions, compactChain } from '../../../src/lake/compact.ts'
import { planMerges } from '../../../src/lake/merge-plan.ts'
import { readBronzeBooks } from '../../../src/verify/lake-books.ts'
import { chainWriter, ID, keysOf, readAll } from './chain-world.ts'

const compact = (store: MemoryObjectStore, options: Partial<CompactOptions> = {}): ReturnType<typeof compactChain> =>
  compactChain(store, ID, {
    targetBytes: 1e9,
    before: 1e9,
    dryRun: false,
    now: () => 5_000,
    signal: new AbortController().signal,
    onProgress: () => {},
    ...options,
  })

async function chain(...ends: number[]): Promise<MemoryObjectStore> {
  const store = createMemoryObjectStore()
  const writer = chainWriter(store)
  for (const end of ends) await writer.write(end)
  return store
}

async function links(store: MemoryObjectStore): Promise<ChainLink[]> {
  const found: ChainLink[] = []
  for await (const link of listChain(store, ID)) found.push(link)
  return found
}

describe('compaction', () => {
  test('makes one object of all but the last, with the same records, books and order', async () => {
    const store = await chain(5, 12, 30, 31)
    const before = { all: await readAll(store), end: (await links(store)).at(-1) }
    const books = await readBronzeBooks(store, ID, 3, 20)
    const done = await compact(store)
    expect(done).toMatchObject({ objects: 4, merged: 3, created: 1, rows: 30 })
    const [merged, last, ...more] = await links(store)
    expect(more).toEqual([])
    expect(last).toEqual(before.end)
    expect(merged!.footer).toMatchObject({
      firstOffset: 0,
      nextOffset: 30,
      rows: 30,
      maxTimestamp: 1_029,
      merged: { at: 5_000, objects: 3 },
    })
    expect(await readAll(store)).toEqual(before.all)
    expect(await readBronzeBooks(store, ID, 3, 20)).toEqual(books)
    for (const key of [0, 5, 12].map((at) => chainKey(ID, at))) await store.delete(key)
    expect(await readAll(store)).toEqual(before.all)
    expect(await readBronzeBooks(store, ID, 3, 20)).toEqual(books)
    expect((await compact(store)).created).toBe(0)
  })

  test('a writer finds the end of the chain again, also from an object that was merged and deleted', async () => {
    const store = await chain(5, 12, 30)
    await compact(store)
    for (const hint of [undefined, 0, 5, 12]) expect((await walkChain(store, ID, hint))?.footer.nextOffset).toBe(30)
    await store.delete(chainKey(ID, 0))
    await store.delete(chainKey(ID, 5))
    for (const hint of [undefined, 0, 5, 12]) expect((await walkChain(store, ID, hint))?.footer.nextOffset).toBe(30)
    await expect(walkChain(store, ID, 13)).rejects.toMatchObject({ code: 'MESH_LAKE_CHAIN_BROKEN' })
  })

  test('leaves the young alone, cuts at the target, and never takes a hole or the last object', async () => {
    const store = createMemoryObjectStore()
    const writer = chainWriter(store)
    for (const end of [2, 4]) await writer.write(end)
    await writer.write(9, { kind: 'hole' })
    for (const end of [11, 13, 15, 17]) await writer.write(end)
    const all = await links(store)
    const ranges = (limits: Parameters<typeof planMerges>[1]): number[][] =>
      planMerges(all, limits).map(({ links: of }) => [of[0]!.footer.firstOffset, of.at(-1)!.footer.nextOffset])
    expect(ranges({ targetBytes: 1e9, before: 1e9 })).toEqual([
      [0, 4],
      [9, 15],
    ])
    expect(ranges({ targetBytes: 1e9, before: 1_013 })).toEqual([
      [0, 4],
      [9, 13],
    ])
    const size = Math.max(...all.map(({ bytes }) => bytes))
    expect(ranges({ targetBytes: size * 2 + 1, before: 1e9 })).toEqual([
      [0, 4],
      [9, 13],
    ])
    // An object of half the target is large enough: it would be written again at every pass.
    expect(ranges({ targetBytes: size, before: 1e9 })).toEqual([])
    expect(planMerges(all, { targetBytes: 1e9, before: 1e9 })[1]!.before).toEqual(all[2])
    const before = await readAll(store)
    await compact(store)
    expect(await readAll(store)).toEqual(before)
  })

  test('never merges over a change of columns', async () => {
    const store = createMemoryObjectStore()
    const writer = chainWriter(store)
    const wider = [...BRONZE_COLUMNS, { name: 'more', type: { kind: 'string' as const }, nullable: true }]
    for (const end of [1, 2, 3]) await writer.write(end)
    for (const end of [4, 5, 6]) await writer.write(end, { columns: wider })
    expect(await compact(store)).toMatchObject({ merged: 5, created: 2 })
    expect((await links(store)).map(({ footer }) => [footer.firstOffset, footer.nextOffset])).toEqual([
      [0, 3],
      [3, 5],
      [5, 6],
    ])
  })

  test('refuses objects that do not hold what their books say, and changes nothing', async () => {
    const store = createMemoryObjectStore()
    const writer = chainWriter(store)
    await writer.write(5)
    await writer.write(9, { hash: '00000000000000000000000000000001' })
    await writer.write(12)
    const before = await keysOf(store)
    await expect(compact(store)).rejects.toMatchObject({ code: 'MESH_LAKE_CHAIN_BROKEN' })
    expect(await keysOf(store)).toEqual(before)
  })

  test('a dry run says the same and writes nothing', async () => {
    const store = await chain(5, 12, 30, 31)
    const before = await keysOf(store)
    expect(await compact(store, { dryRun: true })).toMatchObject({ objects: 4, merged: 3, created: 0, rows: 30 })
    expect(await keysOf(store)).toEqual(before)
  })
})

describe('others at work', () => {
  test('what the sink writes while objects are merged stays, and the next run takes it', async () => {
    let written = false
    const inner = createMemoryObjectStore()
    const writer = chainWriter(inner)
    for (const end of [5, 12, 30]) await writer.write(end)
    const store: MemoryObjectStore = {
      ...inner,
      async create(key, bytes) {
        if (!written) for (const end of [33, 40]) await writer.write(end)
        written = true
        return inner.create(key, bytes)
      },
    }
    expect(await compact(store)).toMatchObject({ merged: 2, created: 1 })
    expect((await readAll(store)).records).toHaveLength(40)
    expect(await compact(store)).toMatchObject({ created: 1 })
    expect((await readAll(store)).records).toHaveLength(40)
    expect((await links(store)).map(({ footer }) => footer.nextOffset)).toEqual([33, 40])
  })

  test('of two compactions one has the chain, whatever they had read before', async () => {
    const inner = await chain(5, 12, 30, 40, 50)
    let first = true
    const late: MemoryObjectStore = {
      ...inner,
      async create(key, bytes) {
        if (first) {
          first = false
          await compact(inner, { before: 1_030 })
        }
        return inner.create(key, bytes)
      },
    }
    const before = await readAll(inner)
    await compact(late)
    expect(await readAll(inner)).toEqual(before)
    expect((await links(inner)).map(({ footer }) => footer.nextOffset)).toEqual([40, 50])
    // Overlapping ones: what begins inside a merge that counts does not.
    await inner.create(mergedKey(ID, 12, 50), Buffer.from('never read'))
    expect(await readAll(inner)).toEqual(before)
  })

  test('what a writer that was replaced long ago leaves inside a merge is passed over', async () => {
    const store = await chain(5, 12, 30)
    await compact(store)
    await store.delete(chainKey(ID, 5))
    await store.create(chainKey(ID, 5), Buffer.from('of a zombie'))
    await store.create(chainKey(ID, 7), Buffer.from('of a zombie'))
    expect((await links(store)).map(({ footer }) => footer.nextOffset)).toEqual([12, 30])
  })

  test('ended before or after any call of the store, the chain is whole and the next run ends the work', async () => {
    for (let at = 1; at < 60; at++) {
      const inner = await chain(5, 12, 30, 31)
      const before = await readAll(inner)
      let calls = 0
      const tick = (): void => {
        if (++calls === at) throw new Error('killed')
      }
      const store = createKilled(inner, tick)
      const ended = await compact(store).then(
        () => true,
        () => false,
      )
      expect(await readAll(inner)).toEqual(before)
      await compact(inner)
      expect((await links(inner)).map(({ footer }) => footer.nextOffset)).toEqual([30, 31])
      if (ended) return
    }
    throw new Error('it was killed at every call')
  })
})

function createKilled(inner: MemoryObjectStore, tick: () => void): MemoryObjectStore {
  const around = async <T>(work: () => Promise<T>): Promise<T> => {
    tick()
    const result = await work()
    tick()
    return result
  }
  return {
    ...inner,
    create: (key, bytes) => around(() => inner.create(key, bytes)),
    get: (key) => around(() => inner.get(key)),
    size: (key) => around(() => inner.size(key)),
    delete: (key) => around(() => inner.delete(key)),
  }
}
