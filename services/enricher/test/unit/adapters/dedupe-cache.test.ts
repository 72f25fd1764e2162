import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDedupeCache } from '../../../src/adapters/dedupe-cache.ts'
import type { DedupeStore } from '../../../src/core/dedupe.ts'
import { createMemoryBudget, type MemoryBudget } from '../../../src/core/memory-budget.ts'
import { byDefinition, decide, type Entry, randomLog } from '../../dedupe-log.ts'
import { seeded } from '../../seeded.ts'

let dir: string
let budget: MemoryBudget
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'dedupe-cache-'))
  budget = createMemoryBudget(64_000_000)
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const open = (retainMs = 100, options: { identity?: string; segmentIds?: number } = {}): DedupeStore =>
  openDedupeCache({ dir, identity: 'test', retainMs, segmentIds: 4, budget, ...options })
const files = () => readdirSync(dir).sort()

/** Notes records [from, to) as committed ones. */
function commit(store: DedupeStore, log: readonly Entry[], from: number, to: number): void {
  for (let offset = from; offset < to; offset++) {
    decide(store, log[offset]!, 100)
    store.cut(offset + 1)
    store.committed(offset + 1)
  }
}

const idsAt = (count: number, first = 0): Entry[] =>
  Array.from({ length: count }, (_, i) => ({ id: `id-${first + i}`, timestamp: 1000 + first + i }))

type Damage = (path: string) => void
const DAMAGES: [name: string, Damage][] = [
  ['cut short', (path) => truncateSync(path, readFileSync(path).length - 5)],
  ['empty', (path) => truncateSync(path, 0)],
  ['longer', (path) => appendFileSync(path, 'x')],
  ['garbage', (path) => writeFileSync(path, Buffer.alloc(4096, 7))],
  [
    'with one bit flipped',
    (path) => {
      const bytes = readFileSync(path)
      bytes[bytes.length - 9]! ^= 1
      writeFileSync(path, bytes)
    },
  ],
  ['gone', (path) => rmSync(path)],
]

describe('dedupe cache', () => {
  test('goes on where the last segment ends, with its ids and its raw time', () => {
    const log = idsAt(10)
    commit(open(), log, 0, 10)
    const again = open()
    expect(again.position()).toBe(8)
    expect(again.rawTime()).toBe(1007)
    expect(again.size()).toBe(8)
    expect(again.note('id-3', 100)).toBe(4)
    expect(again.note('id-9', 100)).toBeNull()
  })

  test('holds nothing of what was noted after the last commit, however full it is', () => {
    const log = idsAt(50)
    const store = open()
    for (const [offset, entry] of log.entries()) {
      decide(store, entry, 100)
      if (offset === 5) store.cut(6)
    }
    expect(files()).toEqual([])
    store.committed(6)
    store.close()
    const again = open()
    expect(again.position()).toBe(6)
    again.advance(1006)
    expect(again.note('id-6', 100)).toBeNull()
    expect(again.note('id-5', 100)).toBe(1)
  })

  test('a commit of an earlier cut does not write a later one', () => {
    const store = open()
    commit(store, idsAt(2), 0, 2)
    store.cut(2)
    for (const entry of idsAt(8, 2)) decide(store, entry, 100)
    store.cut(10)
    store.committed(2)
    expect(files()).toEqual([])
    store.committed(10)
    expect(files()).toHaveLength(1)
  })

  test('a stop in good order leaves everything, and a short segment grows on under the next process', () => {
    const log = idsAt(12)
    let store = open(100, { segmentIds: 100 })
    for (const [from, to] of [
      [0, 3],
      [3, 7],
      [7, 12],
    ] as const) {
      commit(store, log, from, to)
      store.close()
      expect(files()).toHaveLength(1)
      store = open(100, { segmentIds: 100 })
      expect(store.position()).toBe(to)
      expect(store.size()).toBe(to)
    }
    store.close()
    expect(budget.used()).toBe(0)
  })

  test('a stop with work that is not committed leaves what was committed before it', () => {
    const store = open()
    commit(store, idsAt(6), 0, 6)
    decide(store, { id: 'late', timestamp: 2000 }, 100)
    store.cut(7)
    store.close()
    expect(open().position()).toBe(4)
  })

  test('segments leave with their time, by the raw time of what is written', () => {
    const store = open(20)
    commit(store, idsAt(200), 0, 200)
    expect(files().length).toBeLessThanOrEqual(7)
    expect(store.size()).toBeLessThanOrEqual(28)
    const last = files()
    // Not committed: the records before it may be decided again, and they need the older ids.
    decide(store, { id: 'far', timestamp: 9000 }, 20)
    store.cut(201)
    expect(files()).toEqual(last)
    const again = open(20)
    expect(again.position()).toBe(200)
    expect(again.note('id-190', 20)).toBe(9)
  })

  test.each(DAMAGES)('a segment that is %s is not believed, nor are its neighbours', (_name, damage) => {
    for (let victim = 0; victim < 3; victim++) {
      const store = open()
      store.clear()
      commit(store, idsAt(12), 0, 12)
      expect(files()).toHaveLength(3)
      damage(join(dir, files()[victim]!))
      const again = open()
      const lost = _name === 'gone' && victim === 2
      expect(again.position()).toBe(lost ? 8 : null)
      expect(again.size()).toBe(lost ? 8 : 0)
      again.clear()
    }
  })

  test('a folder that was emptied under a running process is not believed later', () => {
    const store = open()
    commit(store, idsAt(8), 0, 8)
    rmSync(dir, { recursive: true, force: true })
    commit(store, idsAt(8, 8), 0, 8)
    expect(store.note('id-2', 100)).not.toBeNull()
    const more = idsAt(24)
    commit(store, more, 16, 24)
    expect(open().position()).toBeNull()
  })

  test.each([['another identity', () => open(100, { identity: 'other' })]])(
    '%s begins from nothing',
    (_name, other) => {
      commit(open(), idsAt(12), 0, 12)
      const store = other()
      expect(store.position()).toBeNull()
      expect(files()).toEqual([])
    },
  )

  test('what a crash left half done is cleared away: a part of a file, and the shorter one of two that begin alike', () => {
    const store = open(100, { segmentIds: 100 })
    commit(store, idsAt(3), 0, 3)
    store.close()
    const [short] = files()
    const bytes = readFileSync(join(dir, short!))
    const grown = open(100, { segmentIds: 100 })
    commit(grown, idsAt(9), 3, 9)
    grown.close()
    writeFileSync(join(dir, short!), bytes)
    writeFileSync(join(dir, `${short!}.part`), 'half')
    const again = open(100, { segmentIds: 100 })
    expect(again.position()).toBe(9)
    expect(files()).toHaveLength(1)
  })

  test('memory stays within the budget where there is one to keep, and is given back', () => {
    budget = createMemoryBudget(60_000)
    const store = open(1e9, { segmentIds: 300 })
    const log = idsAt(8000)
    for (const [offset, entry] of log.entries()) {
      decide(store, entry, 1e9)
      if (offset % 100 !== 99) continue
      store.cut(offset + 1)
      store.committed(offset + 1)
      expect(budget.used()).toBeLessThan(80_000)
    }
    store.advance(100_000)
    for (let n = 0; n < 8000; n += 97) expect(store.note(`id-${n}`, 1e9)).toBe(99_000 - n)
    expect(store.note('never', 1e9)).toBeNull()
    store.close()
    expect(budget.used()).toBe(0)
  })

  test('killed anywhere, torn anywhere: with what it kept it decides as the definition says', {
    timeout: 300_000,
  }, () => {
    let [kept, rebuilt] = [0, 0]
    for (let seed = 1; seed <= 50; seed++) {
      rmSync(dir, { recursive: true, force: true })
      const random = seeded(seed + 9000)
      const log = randomLog(seed, 120)
      const windowMs = 1 + random.below(150)
      const expected = byDefinition(log, windowMs)
      let committed = 0
      while (committed < log.length) {
        const found = existingFiles()
        if (found.length > 0 && random.chance(0.15)) {
          DAMAGES[random.below(DAMAGES.length)]![1](join(dir, found[random.below(found.length)]!))
        }
        const store = open(windowMs, { segmentIds: 1 + random.below(9) })
        // The caller reads again what lies between the store's end and the committed offset.
        const from = store.position() ?? 0
        if (store.position() === null) rebuilt++
        else kept++
        for (let offset = from; offset < committed; offset++) decide(store, log[offset]!, windowMs)
        const life = random.below(40)
        for (let n = 0, offset = committed; n < life && offset < log.length; n++, offset++) {
          expect(decide(store, log[offset]!, windowMs), `seed ${seed}, offset ${offset}`).toBe(expected[offset])
          if (!random.chance(0.4)) continue
          store.cut(offset + 1)
          if (random.chance(0.1)) break
          committed = offset + 1
          // Killed between the commit and what follows it, or not.
          if (random.chance(0.1)) break
          store.committed(offset + 1)
        }
        if (random.chance(0.2)) store.close()
      }
    }
    expect(kept).toBeGreaterThan(30)
    expect(rebuilt).toBeGreaterThan(30)
  })
})

function existingFiles(): string[] {
  try {
    return files()
  } catch {
    return []
  }
}
