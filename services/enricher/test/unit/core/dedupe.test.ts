import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDedupeCache } from '../../../src/adapters/dedupe-cache.ts'
import { createDedupeStore, type DedupeStore } from '../../../src/core/dedupe.ts'
import { createMemoryBudget } from '../../../src/core/memory-budget.ts'
import { byDefinition, decide, type Entry, randomLog } from '../../dedupe-log.ts'
import { seeded } from '../../seeded.ts'

let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'dedupe-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

function cacheOf(retainMs: number, segmentIds: number, budgetBytes: number): DedupeStore {
  const dir = mkdtempSync(join(root, 'cache-'))
  return openDedupeCache({ dir, identity: 'test', retainMs, segmentIds, budget: createMemoryBudget(budgetBytes) })
}

/** Every store decides the same; the suite of the port. */
const STORES: [name: string, open: (retainMs: number) => DedupeStore][] = [
  ['in memory', createDedupeStore],
  ['on disk, never cut', (retainMs) => cacheOf(retainMs, 200_000, 1e9)],
  ['on disk, in segments of a few ids', (retainMs) => cacheOf(retainMs, 3, 1e9)],
  ['on disk, without memory for filters', (retainMs) => cacheOf(retainMs, 3, 0)],
]

/** Commits now and then, as a worker does. */
function decideAll(log: readonly Entry[], windowMs: number, store: DedupeStore): (number | null)[] {
  return log.map((entry, offset) => {
    if (offset % 3 === 0) store.cut(offset)
    if (offset % 3 === 1) store.committed(offset - 1)
    return decide(store, entry, windowMs)
  })
}

describe.each(STORES)('dedupe store %s', (_name, open) => {
  test('a second record with an id is a duplicate just inside the window and an event just outside it', () => {
    const log = [1000, 1099, 1199].map((timestamp) => ({ id: 'a', timestamp }))
    expect(decideAll(log, 100, open(100))).toEqual([null, 99, null])
  })

  test('a duplicate renews its id: the window counts from the latest record, whatever its fate', () => {
    const log = [0, 60, 120, 180].map((timestamp) => ({ id: 'a', timestamp }))
    expect(decideAll(log, 100, open(100))).toEqual([null, 60, 60, 60])
  })

  test('raw time never falls, so a late timestamp does not reopen the window', () => {
    const log = [
      { id: 'a', timestamp: 0 },
      { id: null, timestamp: 500 },
      { id: 'b', timestamp: 0 },
      { id: 'a', timestamp: 10 },
      { id: 'b', timestamp: 590 },
    ]
    expect(decideAll(log, 100, open(100))).toEqual([null, null, null, null, 90])
  })

  test('records without a timestamp are records of one time', () => {
    expect(
      decideAll(
        [-1, -1].map((timestamp) => ({ id: 'a', timestamp })),
        1,
        open(1),
      ),
    ).toEqual([null, 0])
  })

  test('a bundle with a shorter window than another of the version asks for its own', () => {
    const store = open(100)
    decide(store, { id: 'a', timestamp: 0 }, 100)
    expect(decide(store, { id: 'a', timestamp: 50 }, 50)).toBeNull()
    expect(decide(store, { id: 'a', timestamp: 100 }, 51)).toBe(50)
  })

  test('ids are told apart whole, long and alike as they may be', () => {
    const store = open(100)
    const long = 'x'.repeat(5000)
    const ids = [long, `${long}y`, 'ä', 'a', '']
    for (const id of ids) expect(decide(store, { id, timestamp: 1 }, 100)).toBeNull()
    for (const id of ids) expect(decide(store, { id, timestamp: 1 }, 100)).toBe(0)
  })

  test('decides as the definition says for logs with timestamps out of order', { timeout: 300_000 }, () => {
    for (let seed = 1; seed <= 100; seed++) {
      const log = randomLog(seed)
      const windowMs = 1 + seeded(seed + 1000).below(60)
      const store = open(windowMs)
      expect(decideAll(log, windowMs, store), `seed ${seed}`).toEqual(byDefinition(log, windowMs))
      store.close()
    }
  })
})

describe('dedupe store in memory', () => {
  test('a window of zero finds no duplicates and holds no ids', () => {
    const store = createDedupeStore(0)
    const log = [1, 1, 1].map((timestamp) => ({ id: 'a', timestamp }))
    expect(decideAll(log, 0, store)).toEqual([null, null, null])
    expect(store.size()).toBe(0)
  })

  test('holds only ids of the last window', () => {
    const store = createDedupeStore(100)
    let most = 0
    for (let i = 0; i < 10_000; i++) {
      decide(store, { id: `id-${i}`, timestamp: i }, 100)
      most = Math.max(most, store.size())
    }
    expect(most).toBeLessThanOrEqual(101)
  })

  test('forgets in order also when ids are noted again and again', () => {
    const store = createDedupeStore(10)
    for (let i = 0; i < 1000; i++) {
      store.advance(i)
      store.note('again', 10)
      store.note(`once-${i}`, 10)
    }
    expect(store.size()).toBe(11)
    store.advance(5000)
    expect(store.size()).toBe(0)
    expect(store.note('after', 10)).toBeNull()
    expect(store.note('after', 10)).toBe(0)
  })
})
