import { textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { createParkedIndex, nextTry, orderUnit, type ParkedIndex } from '../../../src/core/parked.ts'
import { isParkedKey, offsetOfKey, parkedStateRecord, readParked, unitOf } from '../../../src/core/parked-state.ts'

const record = (offset: number, parkedAtMs = 0, stateOffset: number | null = offset) => ({
  offset,
  stateOffset,
  parkedAtMs,
})
const wait = (dueMs: number, ...awaits: string[]) => ({ dueMs, awaits })
const first = (index: ParkedIndex, unit: string, below = 1e9, most = 10): number[] =>
  index.first(unit, { below, most }).map(({ offset }) => offset)
const RETRY = { initialMs: 100, maxMs: 1000, factor: 2, retries: Number.POSITIVE_INFINITY }

describe('the index of parked records', () => {
  test('a key is tried by its head when that is due, and its next record at once after the head is released', () => {
    const index = createParkedIndex()
    index.park('a', record(1), wait(100))
    index.park('a', record(3), null)
    index.park('b', record(2), wait(50))
    expect(index.due(49, 10)).toEqual([])
    expect(index.due(100, 10)).toEqual(['b', 'a'])
    // Looking changes nothing.
    expect(index.due(100, 1)).toEqual(['b'])
    index.release('a')
    expect(index.due(0, 10)).toEqual(['a'])
    expect(first(index, 'a')).toEqual([3])
    index.release('a')
    expect(index.has('a')).toBe(false)
    expect(index.size()).toBe(1)
    expect(index.due(1000, 10)).toEqual(['b'])
  })

  test('a row that arrives makes who waits for it due, whenever its time is, and nobody else', () => {
    const index = createParkedIndex()
    index.park('a', record(1), wait(1000, 'customers/x', 'cities/y'))
    index.park('b', record(2), wait(1000, 'customers/z'))
    index.wake('cities/y')
    expect(index.due(0, 10)).toEqual(['a'])
    index.retry('a', wait(500, 'customers/x'))
    expect(index.due(0, 10)).toEqual([])
    index.wake('cities/y')
    expect(index.due(0, 10)).toEqual([])
    expect(index.attempts('a')).toBe(2)
    index.wake('customers/x')
    index.release('a')
    index.wake('customers/x')
    expect(index.due(999, 10)).toEqual([])
  })

  test('of several keys that wait for one row each is woken until it waits no more', () => {
    const index = createParkedIndex()
    for (const unit of ['a', 'b', 'c']) index.park(unit, record(1), wait(1000, 'customers/x', 'customers/x'))
    index.wake('customers/x')
    expect(index.due(0, 10)).toEqual(['a', 'b', 'c'])
    for (const unit of ['a', 'b', 'c']) index.retry(unit, wait(2000, 'customers/x'))
    index.release('b')
    index.release('c')
    index.wake('customers/x')
    expect(index.due(0, 10)).toEqual(['a'])
    index.park('d', record(2), wait(1000, 'customers/x'))
    index.release('a')
    index.wake('customers/x')
    expect(index.due(0, 10)).toEqual(['d'])
    index.release('d')
    index.wake('customers/x')
    expect(index.due(5000, 10)).toEqual([])
  })

  test('a record whose fate was not booked is taken back, the last one first', () => {
    const index = createParkedIndex()
    index.park('a', record(1), wait(10, 'customers/x'))
    index.park('a', record(2), null)
    index.unpark('a')
    expect(first(index, 'a')).toEqual([1])
    index.unpark('a')
    expect([index.has('a'), index.size()]).toEqual([false, 0])
    index.wake('customers/x')
    expect(index.due(1000, 10)).toEqual([])
  })

  test('what an earlier run parked is tried at once: nobody knows any more what it waits for', () => {
    const index = createParkedIndex()
    index.park('a', record(1, 500), null)
    expect(index.due(499, 10)).toEqual([])
    expect(index.due(500, 10)).toEqual(['a'])
    expect(index.attempts('a')).toBe(0)
  })

  test('knows from where on the state topic is needed', () => {
    const index = createParkedIndex()
    expect([index.stateFrom(9), index.rawFrom()]).toEqual([9, null])
    index.park('a', record(1, 0, 7), wait(0))
    index.park('b', record(2, 0, 4), wait(0))
    expect(index.stateFrom(9)).toBe(4)
    expect(index.rawFrom()).toBe(1)
    index.release('b')
    index.park('c', record(3, 0, null), wait(0))
    expect(index.stateFrom(9)).toBe(7)
  })

  test('counts the memory of records, keys and what they wait for, and gives it back', () => {
    const index = createParkedIndex()
    index.park('key', record(1), wait(0, 'customers/x'))
    const one = index.bytes()
    index.park('key', record(2), null)
    const more = index.bytes() - one
    expect(one).toBeGreaterThan(more + 'key'.length + 'customers/x'.length)
    index.retry('key', wait(1, 'customers/x', 'cities/a'))
    expect(index.bytes()).toBe(one + more + 'cities/a'.length)
    index.unpark('key')
    index.release('key')
    expect(index.bytes()).toBe(0)
    index.park('k'.repeat(10_000), record(3), null)
    expect(index.bytes()).toBeGreaterThan(10_000)
  })

  test('a place on the state topic counts once it is told, and until its record leaves', () => {
    const index = createParkedIndex()
    const later = record(2, 0, null)
    index.park('a', record(1, 0, 7), wait(0))
    index.park('b', later, wait(0))
    expect(index.stateFrom(9)).toBe(7)
    index.placed(later, 3)
    expect(index.stateFrom(9)).toBe(3)
    index.unpark('b')
    expect(index.stateFrom(9)).toBe(7)
    index.placed(later, 2)
    expect(index.stateFrom(9)).toBe(7)
  })

  test('says the same as a list of all records would, whatever is parked and leaves in whatever order', () => {
    for (let seed = 1; seed <= 15; seed++) {
      let state = seed
      const dice = (sides: number): number => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return (state >>> 8) % sides
      }
      const index = createParkedIndex()
      const model = new Map<string, ReturnType<typeof record>[]>()
      for (let offset = 0; offset < 600; offset++) {
        const unit = `k${dice(4)}`
        const queue = model.get(unit) ?? []
        model.set(unit, queue)
        const move = dice(offset < 300 ? 4 : 8)
        if (move < 3) {
          const one = record(offset, 0, dice(3) === 0 ? null : 1000 + dice(700))
          index.park(unit, { ...one }, queue.length === 0 ? wait(0) : null)
          queue.push(one)
        } else if (queue.length > 0 && move === 3) {
          index.unpark(unit)
          queue.pop()
        } else if (queue.length > 0) {
          index.release(unit)
          queue.shift()
        }
        const all = [...model.values()].flat()
        expect(index.size()).toBe(all.length)
        expect(index.rawFrom()).toBe(all.length === 0 ? null : Math.min(...all.map((one) => one.offset)))
        expect(index.stateFrom(9999)).toBe(Math.min(9999, ...all.map((one) => one.stateOffset ?? 9999)))
        expect(first(index, unit, offset, 3)).toEqual(
          queue
            .filter((one) => one.offset < offset)
            .slice(0, 3)
            .map((one) => one.offset),
        )
      }
    }
  })

  test('100,000 records of one key leave, with a commit after every 150 of them, without looking at the others each time', () => {
    let looks = 0
    class Counted {
      readonly parkedAtMs = 0
      readonly #offset: number
      constructor(offset: number) {
        this.#offset = offset
      }
      get offset(): number {
        looks++
        return this.#offset
      }
      get stateOffset(): number {
        looks++
        return this.#offset
      }
    }
    const index = createParkedIndex()
    const count = 100_000
    for (let n = 0; n < count; n++) index.park('hot', new Counted(n), n === 0 ? wait(0) : null)
    let left = 0
    while (index.size() > 0) {
      const records = index.first('hot', { below: count, most: 150 })
      for (let i = 0; i < records.length; i++) index.release('hot')
      left += records.length
      expect([index.rawFrom(), index.stateFrom(count)]).toEqual(left === count ? [null, count] : [left, left])
    }
    // Two heaps of 17 levels, two comparisons at each; looking at all of them for every commit would be ten times as many.
    expect(looks).toBeLessThan(count * 2 * 17 * 2 * 2)
  })

  test('ten thousand keys come in order of their times', () => {
    const index = createParkedIndex()
    const times = Array.from({ length: 10_000 }, (_, i) => (i * 7919) % 10_007)
    for (const [i, at] of times.entries()) index.park(`k${i}`, record(i), wait(at))
    const due = index.due(5000, 1_000_000).map((unit) => times[Number(unit.slice(1))]!)
    expect(due).toEqual(times.filter((at) => at <= 5000).sort((a, b) => a - b))
  })
})

test('the next try backs off with jitter, and never lies beyond the deadline', () => {
  const at = (attempt: number, jitter: number, deadlineMs: number | null = null) =>
    nextTry(RETRY, { attempt, nowMs: 1000, deadlineMs, jitter })
  expect([at(1, 0), at(1, 0.999), at(3, 0), at(9, 0)]).toEqual([1050, 1100, 1200, 1500])
  expect(at(3, 0, 1100)).toBe(1100)
})

describe('a parked record on the state topic', () => {
  const raw = (key: string | null, value: string | null) => ({
    offset: 17,
    timestamp: 123,
    key: key === null ? null : textBytes(key),
    value: value === null ? null : textBytes(value),
    headers: [
      { name: 'x', value: textBytes('1') },
      { name: 'x', value: null },
      { name: 'mesh-src', value: textBytes('forged') },
    ],
  })

  test.each([
    ['k', '{}'],
    ['a/b', null],
    ['', ''],
    [null, '{}'],
  ])('key %j and value %j come back as they were, and so does their order', (key, value) => {
    const record = raw(key, value)
    const at = { topicId: 't', partition: 2, offset: 17 }
    const state = parkedStateRecord({ at, record }, 999)
    expect(state).toMatchObject({ partition: 2, timestamp: 999 })
    expect(state.value).not.toBeNull()
    const storedKey = Uint8Array.from(state.key!)
    const stored = { offset: 5, timestamp: 999, key: storedKey, value: state.value, headers: state.headers }
    expect(isParkedKey(stored.key)).toBe(true)
    expect(offsetOfKey(stored.key!)).toBe(17)
    expect(readParked(stored)).toEqual({ at, record: { ...record, headers: record.headers.slice(0, 2) } })
    expect(unitOf(stored)).toBe(orderUnit(record.key, 17))
  })

  test('records without a key have no order among each other', () => {
    expect(orderUnit(null, 1)).not.toBe(orderUnit(null, 2))
    expect(orderUnit(textBytes(''), 1)).toBe(orderUnit(textBytes(''), 2))
    expect(orderUnit(Uint8Array.of(0xff), 1)).not.toBe(orderUnit(Uint8Array.of(0xfe), 1))
  })
})
