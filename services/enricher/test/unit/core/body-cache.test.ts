import { describe, expect, test } from 'vitest'
import type { Source } from '../../../src/core/arrival.ts'
import { createBodyCache, ENTRY_BYTES } from '../../../src/core/body-cache.ts'
import { packSource } from '../../../src/core/packed-source.ts'

const bytes = (text: string): Buffer => Buffer.from(text)

function sourceOf(value: Uint8Array | null, headers: Source['record']['headers'] = []): Source {
  return {
    at: { topicId: 'raw-id', partition: 3, offset: 9_007_199_254_740_991 },
    record: { offset: 17, timestamp: -1, key: bytes('key'), value, headers },
  }
}

describe('body cache', () => {
  test('gives back what was put: coordinate, null and empty, names that repeat and their order', () => {
    const source = sourceOf(null, [
      { name: 'ce_id', value: bytes('a') },
      { name: 'h', value: null },
      { name: 'h', value: bytes('') },
      { name: 'größe', value: Buffer.of(0, 255) },
    ])
    const bodies = createBodyCache(10_000)
    bodies.put('a', source)
    expect(bodies.get('a')).toEqual(source)
    const empty = { ...source, record: { ...source.record, key: null, value: bytes(''), headers: [] } }
    bodies.put('a', empty)
    expect(bodies.get('a')).toEqual(empty)
    expect(bodies.get('b')).toBeNull()
  })

  test('nothing of a held record keeps the fetch alive that it came in', () => {
    const fetched = Buffer.alloc(1_000_000, 7)
    const view = (): Uint8Array => fetched.subarray(10, 20)
    const record = { offset: 0, timestamp: 0, key: view(), value: view(), headers: [{ name: 'h', value: view() }] }
    const bodies = createBodyCache(1000)
    bodies.put('a', { at: { topicId: 't', partition: 0, offset: 0 }, record })
    const held = bodies.get('a')!.record
    for (const part of [held.key, held.value, held.headers[0]!.value]) {
      expect([...part!]).toEqual([...view()])
      expect(part!.buffer.byteLength).toBeLessThan(100)
    }
  })

  test('counts what a record takes, not only its bytes, and never holds more than the bound', () => {
    const source = sourceOf(bytes('x'.repeat(100)), [{ name: 'name', value: bytes('value') }])
    const own = ENTRY_BYTES + packSource(source).length + 'p0'.length
    expect(own).toBeGreaterThan(ENTRY_BYTES + 112)
    const bodies = createBodyCache(own * 3 - 1)
    for (const place of ['p0', 'p1', 'p2']) bodies.put(place, source)
    expect(['p0', 'p1', 'p2'].map((place) => bodies.get(place) !== null)).toEqual([true, true, false])
    expect(bodies.bytes()).toBe(own * 2)
    // Again under the same place, and away: what was counted for it is given back.
    bodies.put('p0', source)
    expect(bodies.bytes()).toBe(own * 2)
    bodies.delete('p0')
    bodies.delete('p0')
    expect(bodies.bytes()).toBe(own)
    bodies.put('p2', source)
    expect(bodies.get('p2')).not.toBeNull()
  })

  test('many small records count as what surrounds them', () => {
    const bodies = createBodyCache(100 * ENTRY_BYTES)
    for (let i = 0; i < 1000; i++) bodies.put(`p${i}`, sourceOf(null))
    const held = Array.from({ length: 1000 }, (_, i) => bodies.get(`p${i}`)).filter((one) => one !== null)
    expect(held.length).toBeGreaterThan(0)
    expect(held.length).toBeLessThan(100)
  })
})
