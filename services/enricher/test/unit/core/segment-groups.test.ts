import { describe, expect, test } from 'vitest'
import { hashEventId, type IdWords } from '../../../src/core/event-id-hash.ts'
import { createIdTable } from '../../../src/core/id-table.ts'
import { createMemoryBudget } from '../../../src/core/memory-budget.ts'
import { type ChainSegment, createSegmentGroups } from '../../../src/core/segment-groups.ts'

const SEGMENT_IDS = 100

const wordsOf = (n: number): IdWords => {
  const words: IdWords = new Uint32Array(4)
  hashEventId(`id-${n}`, words)
  return words
}

/** Segments that count how often they are asked; each has ids [from, from + SEGMENT_IDS), noted at its number. */
function chain(segments: number, limit = 1_000_000) {
  const budget = createMemoryBudget(limit)
  const groups = createSegmentGroups<ChainSegment & { readonly number: number }>(SEGMENT_IDS, budget)
  const asked = { times: 0, closed: 0 }
  for (let number = 1; number <= segments; number++) {
    const table = createIdTable()
    for (let i = 0; i < SEGMENT_IDS; i++) table.set(wordsOf((number - 1) * SEGMENT_IDS + i), number)
    const find = (id: IdWords): number | null => {
      asked.times++
      return table.find(id)
    }
    const close = (): void => void asked.closed++
    groups.add({ number, count: SEGMENT_IDS, rawTime: number, find, close }, table.sorted(0))
  }
  return { groups, budget, asked }
}

describe('segment groups', () => {
  test('every id of every segment is found, at the time that its newest segment says', () => {
    const { groups } = chain(40)
    for (let n = 0; n < 40 * SEGMENT_IDS; n++) {
      expect(groups.find(wordsOf(n), 0)).toBe(Math.floor(n / SEGMENT_IDS) + 1)
    }
  })

  test('a new id asks hardly any segment', () => {
    const { groups, asked } = chain(40)
    for (let n = 0; n < 1000; n++) expect(groups.find(wordsOf(1_000_000 + n), 0)).toBeNull()
    expect(asked.times).toBeLessThan(1000)
  })

  test('without room for filters every segment is asked, with the same answers', () => {
    const { groups, asked, budget } = chain(40, 0)
    expect(groups.find(wordsOf(1_000_000), 0)).toBeNull()
    expect(asked.times).toBe(40)
    expect(groups.find(wordsOf(0), 0)).toBe(1)
    expect(budget.used()).toBe(0)
  })

  test('segments whose time is over are not asked and leave in order; what they took is given back', () => {
    const { groups, budget, asked } = chain(40)
    expect(groups.find(wordsOf(0), 1)).toBeNull()
    expect(groups.find(wordsOf(SEGMENT_IDS), 1)).toBe(2)
    const before = budget.used()
    expect(groups.removeUpTo(20).map(({ number }) => number)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
    expect(groups.all().map(({ number }) => number)).toEqual(Array.from({ length: 20 }, (_, i) => i + 21))
    expect(budget.used()).toBeLessThan(before)
    for (let n = 0; n < 40 * SEGMENT_IDS; n += 7) {
      expect(groups.find(wordsOf(n), 0)).toBe(n < 20 * SEGMENT_IDS ? null : Math.floor(n / SEGMENT_IDS) + 1)
    }
    groups.close()
    expect(budget.used()).toBe(0)
    expect(asked.closed).toBe(20)
    expect(groups.all()).toEqual([])
    expect(groups.find(wordsOf(3999), 0)).toBeNull()
  })

  test("the filters over groups leave half of the memory to the segments' own", () => {
    const { budget } = chain(400, 20_000)
    expect(budget.used()).toBeGreaterThan(0)
    expect(budget.used()).toBeLessThanOrEqual(10_000)
  })
})
