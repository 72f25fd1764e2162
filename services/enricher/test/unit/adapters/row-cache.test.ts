import { describe, expect, test } from 'vitest'
import { createRowCache } from '../../../src/adapters/row-cache.ts'
import { createMemoryBudget } from '../../../src/core/memory-budget.ts'

const row = (n: number) => ({ src: `main;t;0;${n};0`, record: { n } })

/** Bytes that the cache counts for one row of ten bytes. */
function entryBytes(): number {
  const budget = createMemoryBudget(1_000_000)
  createRowCache(budget).put('k0', row(0), 10)
  return budget.used()
}

describe('row cache', () => {
  test('holds what was put, also that a row is missing, until it is deleted', () => {
    const budget = createMemoryBudget(1_000_000)
    const cache = createRowCache(budget)
    cache.put('a', row(1), 10)
    cache.put('b', null, 0)
    expect([cache.get('a'), cache.get('b'), cache.get('c')]).toEqual([row(1), null, undefined])
    cache.put('a', row(2), 10)
    expect(cache.get('a')).toEqual(row(2))
    cache.delete('a')
    expect(cache.get('a')).toBeUndefined()
    cache.clear()
    expect(cache.get('b')).toBeUndefined()
    expect(budget.used()).toBe(0)
  })

  test('stays within the budget; what was used since its last turn stays, the others leave in order', () => {
    const budget = createMemoryBudget(entryBytes() * 3)
    const cache = createRowCache(budget)
    for (let n = 0; n < 3; n++) cache.put(`k${n}`, row(n), 10)
    cache.get('k0')
    cache.put('k3', row(3), 10)
    expect([0, 1, 2, 3].map((n) => cache.get(`k${n}`) !== undefined)).toEqual([true, false, true, true])
    // All are marked: each gets its second chance, then the first of them leaves.
    cache.put('k4', row(4), 10)
    expect([0, 2, 3, 4].filter((n) => cache.get(`k${n}`) !== undefined)).toHaveLength(3)
    expect(cache.get('k4')).toEqual(row(4))
    expect(budget.used()).toBe(entryBytes() * 3)
  })

  test('a row larger than the budget is not held, and nothing is counted for it', () => {
    const budget = createMemoryBudget(entryBytes())
    const cache = createRowCache(budget)
    cache.put('k0', row(0), 10)
    cache.put('big', row(1), 1000)
    expect(cache.get('big')).toBeUndefined()
    expect(budget.used()).toBe(0)
  })
})
