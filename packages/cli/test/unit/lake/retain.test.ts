import type { StreamVersion, StreamVersions } from '@mesh/shared/core/versions'
import { walkChain } from '@mesh/shared/lake/chain'
import { chainKey, droppedKey } from '@mesh/shared/lake/chain-names'
import { createMemoryObjectStore, type MemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { describe, expect, test } from 'vitest'
import { compactChain } from '../../../src/lake/compact.ts'
import { historyRule } from '../../../src/lake/history-rule.ts'
import { type RetainOptions, retainChain } from '../../../src/lake/retain.ts'
import { readBronzeBooks } from '../../../src/verify/lake-books.ts'
import { chainWriter, ID, keysOf, readAll } from './chain-world.ts'

const signal = new AbortController().signal
const GRACE = 100
const retain = (store: MemoryObjectStore, options: Partial<RetainOptions> = {}): ReturnType<typeof retainChain> =>
  retainChain(store, ID, {
    now: 5_000 + GRACE,
    graceMs: GRACE,
    history: { keep: 'not asked for' },
    dryRun: false,
    signal,
    onProgress: () => {},
    ...options,
  })

async function chain(ends: readonly number[], change: { old?: true } = {}): Promise<MemoryObjectStore> {
  const store = createMemoryObjectStore()
  const writer = chainWriter(store)
  for (const end of ends) await writer.write(end, change)
  return store
}

async function compacted(...ends: number[]): Promise<MemoryObjectStore> {
  const store = await chain(ends)
  const limits = { targetBytes: 1e9, before: 1e9, dryRun: false, now: () => 5_000 }
  await compactChain(store, ID, { ...limits, signal, onProgress: () => {} })
  return store
}

describe('what is merged', () => {
  test('is deleted once its merge is old enough, and nothing else is', async () => {
    const store = await compacted(5, 12, 30)
    const before = await readAll(store)
    expect(await retain(store, { now: 5_000 + GRACE - 1 })).toMatchObject({ deleted: 0, waiting: 2 })
    expect(await retain(store, { dryRun: true })).toMatchObject({ deleted: 2 })
    expect(await keysOf(store)).toHaveLength(4)
    expect(await retain(store)).toMatchObject({ deleted: 2, waiting: 0, dropped: null, kept: 'not asked for' })
    expect(await keysOf(store)).toHaveLength(2)
    expect(await readAll(store)).toEqual(before)
  })

  test('deletion that is killed anywhere leaves a chain whose end is found from every object that is left', async () => {
    for (const survivors of [1, 2, 3]) {
      const inner = await compacted(5, 12, 20, 30)
      let left = 4 - survivors
      const store: MemoryObjectStore = {
        ...inner,
        async delete(key) {
          if (left-- <= 0) throw new Error('killed')
          await inner.delete(key)
        },
      }
      await retain(store).catch(() => {})
      expect((await readAll(inner)).records).toHaveLength(30)
      for (const hint of [0, 5, 12, 20]) expect((await walkChain(inner, ID, hint))?.footer.nextOffset).toBe(30)
    }
  })
})

describe('history', () => {
  const history = { before: 1_012, below: 1_000 }

  test('is dropped up to the first object that may not go: booked, declared, and counted by the books as before', async () => {
    const store = await chain([5, 12, 30, 31])
    const books = await readBronzeBooks(store, ID, 0, 31)
    expect(await retain(store, { history, dryRun: true })).toMatchObject({
      dropped: { from: 0, to: 12, objects: 2, rows: 12, until: 1_011 },
    })
    expect((await readAll(store)).holes).toEqual([])
    await retain(store, { history })
    expect(await readBronzeBooks(store, ID, 0, 31)).toEqual(books)
    const { records, holes } = await readAll(store)
    expect(holes).toEqual([[0, 12]])
    expect(records.map(({ offset }) => offset)).toEqual(Array.from({ length: 19 }, (_, i) => 12 + i))
    await expect(readBronzeBooks(store, ID, 3, 31)).rejects.toThrow('cannot be split')
    // Until the grace is over a person can take it back by deleting one object.
    expect(await keysOf(store)).toHaveLength(5)
    expect(await retain(store, { history, now: 5_000 + 3 * GRACE })).toMatchObject({ deleted: 2, dropped: null })
    expect(await readBronzeBooks(store, ID, 0, 31)).toEqual(books)
    expect((await walkChain(store, ID))?.footer.nextOffset).toBe(31)
  })

  test('is dropped further later on, also where a merge has the same range', async () => {
    const store = await compacted(5, 12, 30)
    const all = { before: 1e9, below: 1_000 }
    await retain(store, { history: all })
    expect((await readAll(store)).holes).toEqual([[0, 12]])
    expect((await walkChain(store, ID))?.footer.nextOffset).toBe(30)
    expect(await retain(store, { history: all })).toMatchObject({ dropped: null })
  })

  test('never goes to the last object, above the bound, or where its age is not known', async () => {
    expect(await retain(await chain([5]), { history: { before: 1e9, below: 1e9 } })).toMatchObject({ dropped: null })
    const bounded = await retain(await chain([5, 12, 30]), { history: { before: 1e9, below: 11 } })
    expect(bounded.dropped).toMatchObject({ to: 5 })
    // Objects of older sinks say nothing in their footers: bronze has its records' times.
    const old = await retain(await chain([5, 12, 30], { old: true }), { history: { before: 1_005, below: 1e9 } })
    expect(old.dropped).toMatchObject({ to: 5 })
  })

  test('a dropped range whose object is taken away again is there again', async () => {
    const store = await chain([5, 12, 30])
    const before = await readAll(store)
    await retain(store, { history })
    await store.delete(droppedKey(ID, 0, 12))
    expect(await readAll(store)).toEqual(before)
    expect(await store.size(chainKey(ID, 0))).not.toBeNull()
  })
})

describe('the rule', () => {
  const version = (change: Partial<StreamVersion>): StreamVersion => ({
    version: 1,
    status: 'live',
    bundles: [],
    start: [0],
    replay: null,
    ...change,
  })
  const state = (versions: readonly StreamVersion[]): StreamVersions => ({
    stream: 'flights',
    epoch: 0,
    live: 1,
    rawTopicId: 'topic-1',
    partitions: 1,
    versions,
    at: '',
  })
  const facts = { state: state([version({})]), retentionMs: 1_000, logStart: new Map([[0, 70]]) }

  test('lets go what is older than the contract says, and what Kafka has let go of', () => {
    expect(historyRule(ID, facts, 10_000, 0)).toEqual({ before: 9_000, below: 70 })
    expect(historyRule(ID, facts, 10_000, 3_000)).toEqual({ before: 7_000, below: 70 })
    expect(historyRule(ID, { ...facts, logStart: new Map() }, 10_000, 0)).toMatchObject({ below: 0 })
    const silver = { ...ID, layer: 'silver' as const }
    expect(historyRule(silver, facts, 10_000, 0)).toMatchObject({ below: Number.MAX_SAFE_INTEGER })
  })

  test('keeps all that a version is built from, or begins at, and all where nothing is declared', () => {
    const late = state([version({ status: 'retired', start: [5] }), version({ version: 2, start: [40] })])
    expect(historyRule(ID, { ...facts, state: late }, 10_000, 0)).toMatchObject({ below: 40 })
    const building = state([version({}), version({ version: 2, status: 'candidate' })])
    expect(historyRule(ID, { ...facts, state: building }, 10_000, 0)).toMatchObject({
      keep: expect.stringMatching('candidate'),
    })
    expect(historyRule(ID, { ...facts, retentionMs: null }, 10_000, 0)).toMatchObject({
      keep: expect.stringMatching('declares no lake.bronze'),
    })
    expect(historyRule({ ...ID, topicId: 'other' }, facts, 10_000, 0)).toMatchObject({
      keep: expect.stringMatching('created again'),
    })
  })
})
