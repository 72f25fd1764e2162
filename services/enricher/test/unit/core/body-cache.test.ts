import { describe, expect, test } from 'vitest'
import type { Source } from '../../../src/core/arrival.ts'
import { createBodyCache, ENTRY_BYTES } from '../../../src/core/body-cache.ts'
import { packSource } from '../../../src/core/packed-source.ts'

const bytes = (text: string): Buffer => Buffer.from(text)

const own = (source: Source): number => ENTRY_BYTES + packSource(source).length

function sourceOf(value: Uint8Array | null, headers: Source['record']['headers'] = []): Source {
  return {
    at: { topicId: 'raw-id', partition: 3, offset: 9_007_199_254_740_991 },
    record: { offset: 17, timestamp: -1, key: bytes('key'), value, headers },
  }
}

const at = (source: Source, offset: number): Source => ({ ...source, at: { ...source.at, offset } })

describe('body cache', () => {
  test('gives back what was put: coordinate, null and empty, names that repeat and their order', () => {
    const source = sourceOf(null, [
      { name: 'ce_id', value: bytes('a') },
      { name: 'h', value: null },
      { name: 'h', value: bytes('') },
      { name: 'größe', value: Buffer.of(0, 255) },
    ])
    const bodies = createBodyCache(10_000).open()
    const { offset } = source.at
    bodies.put(source)
    expect(bodies.get(offset)).toEqual(source)
    const empty = { ...source, record: { ...source.record, key: null, value: bytes(''), headers: [] } }
    bodies.put(empty)
    expect(bodies.get(offset)).toEqual(empty)
    expect(bodies.get(0)).toBeNull()
  })

  test('nothing of a held record keeps the fetch alive that it came in', () => {
    const fetched = Buffer.alloc(1_000_000, 7)
    const view = (): Uint8Array => fetched.subarray(10, 20)
    const record = { offset: 0, timestamp: 0, key: view(), value: view(), headers: [{ name: 'h', value: view() }] }
    const bodies = createBodyCache(1000).open()
    bodies.put({ at: { topicId: 't', partition: 0, offset: 0 }, record })
    const held = bodies.get(0)!.record
    for (const part of [held.key, held.value, held.headers[0]!.value]) {
      expect([...part!]).toEqual([...view()])
      expect(part!.buffer.byteLength).toBeLessThan(100)
    }
  })

  test('counts what a record takes, not only its bytes, and never holds more than the bound', () => {
    const source = sourceOf(bytes('x'.repeat(100)), [{ name: 'name', value: bytes('value') }])
    const each = own(source)
    expect(each).toBeGreaterThan(ENTRY_BYTES + 112)
    const cache = createBodyCache(each * 3 - 1)
    const bodies = cache.open()
    for (const offset of [0, 1, 2]) bodies.put(at(source, offset))
    expect([0, 1, 2].map((offset) => bodies.get(offset) !== null)).toEqual([true, true, false])
    expect(cache.bytes()).toBe(each * 2)
    // Again under the same offset, and away: what was counted for it is given back.
    bodies.put(at(source, 0))
    expect(cache.bytes()).toBe(each * 2)
    bodies.delete(0)
    bodies.delete(0)
    expect(cache.bytes()).toBe(each)
    bodies.put(at(source, 2))
    expect(bodies.get(2)).not.toBeNull()
  })

  test('many small records count as what surrounds them', () => {
    const bodies = createBodyCache(100 * ENTRY_BYTES).open()
    for (let i = 0; i < 1000; i++) bodies.put(at(sourceOf(null), i))
    const held = Array.from({ length: 1000 }, (_, i) => bodies.get(i)).filter((one) => one !== null)
    expect(held.length).toBeGreaterThan(0)
    expect(held.length).toBeLessThan(100)
  })

  test('the bound is over all partitions, and a partition that has left gives its room back', () => {
    const source = sourceOf(bytes('x'))
    const cache = createBodyCache(own(source) * 2)
    const [first, second] = [cache.open(), cache.open()]
    first.put(at(source, 0))
    first.put(at(source, 1))
    second.put(at(source, 1))
    expect(second.get(1)).toBeNull()
    first.close()
    expect([cache.bytes(), first.get(0)]).toEqual([0, null])
    // Whoever still works for it fills nothing any more.
    first.put(at(source, 2))
    expect(cache.bytes()).toBe(0)
    second.put(at(source, 1))
    second.put(at(source, 2))
    expect([second.get(1), second.get(2)]).toEqual([at(source, 1), at(source, 2)])
    first.close()
    expect(cache.bytes()).toBe(own(source) * 2)
  })
})
