import { describe, expect, test } from 'vitest'
import { createDedupeStore } from '../../../src/core/dedupe.ts'
import { seeded } from '../../seeded.ts'

type Entry = { id: string | null; timestamp: number }

/** The definition, word for word: the raw time of a record is the highest timestamp up to it. */
function byDefinition(log: readonly Entry[], windowMs: number): boolean[] {
  const rawTime = log.map((_, i) => Math.max(...log.slice(0, i + 1).map((entry) => entry.timestamp)))
  return log.map(
    ({ id }, i) => id !== null && log.some((e, j) => j < i && e.id === id && rawTime[j]! > rawTime[i]! - windowMs),
  )
}

function decideAll(log: readonly Entry[], windowMs: number, store = createDedupeStore(windowMs)): boolean[] {
  return log.map(({ id, timestamp }) => {
    store.advance(timestamp)
    return id !== null && store.note(id, windowMs)
  })
}

describe('dedupe store', () => {
  test('a second record with an id is a duplicate just inside the window and an event just outside it', () => {
    const log = [
      { id: 'a', timestamp: 1000 },
      { id: 'a', timestamp: 1099 },
      { id: 'a', timestamp: 1199 },
    ]
    expect(decideAll(log, 100)).toEqual([false, true, false])
  })

  test('a duplicate renews its id: the window counts from the latest record, whatever its fate', () => {
    const log = [0, 60, 120, 180].map((timestamp) => ({ id: 'a', timestamp }))
    expect(decideAll(log, 100)).toEqual([false, true, true, true])
  })

  test('raw time never falls, so a late timestamp does not reopen the window', () => {
    const log = [
      { id: 'a', timestamp: 0 },
      { id: null, timestamp: 500 },
      { id: 'b', timestamp: 0 },
      { id: 'a', timestamp: 10 },
      { id: 'b', timestamp: 590 },
    ]
    expect(decideAll(log, 100)).toEqual([false, false, false, false, true])
  })

  test('a window of zero finds no duplicates and holds no ids', () => {
    const store = createDedupeStore(0)
    expect(
      decideAll(
        [1, 1, 1].map((timestamp) => ({ id: 'a', timestamp })),
        0,
        store,
      ),
    ).toEqual([false, false, false])
    expect(store.size()).toBe(0)
  })

  test('holds only ids of the last window', () => {
    const store = createDedupeStore(100)
    for (let i = 0; i < 10_000; i++) {
      store.advance(i)
      store.note(`id-${i}`, 100)
      expect(store.size()).toBeLessThanOrEqual(101)
    }
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
    expect(store.note('after', 10)).toBe(false)
    expect(store.note('after', 10)).toBe(true)
  })

  test('decides as the definition says for logs with timestamps out of order', () => {
    for (let seed = 1; seed <= 150; seed++) {
      const log = randomLog(seed)
      const windowMs = 1 + seeded(seed + 1000).below(60)
      expect(decideAll(log, windowMs), `seed ${seed}`).toEqual(byDefinition(log, windowMs))
    }
  })
})

export function randomLog(seed: number): Entry[] {
  const random = seeded(seed)
  let clock = 100
  return Array.from({ length: 60 }, () => {
    clock += random.below(12)
    const timestamp = random.chance(0.1) ? clock + random.below(120) : random.chance(0.3) ? random.below(clock) : clock
    return { id: random.chance(0.1) ? null : `id-${random.below(8)}`, timestamp }
  })
}
