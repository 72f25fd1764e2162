import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { HashSum } from '../../../src/core/books.ts'
import {
  addCounts,
  addHash,
  commitKey,
  formatHash,
  parseHash,
  rawHash,
  refinedHash,
  refinedHashOf,
  subtractHash,
  ZERO_COUNTS,
} from '../../../src/core/books.ts'
import { header, textBytes } from '../../../src/core/record.ts'

const src = { lane: 'main', topicId: 'T', partition: 0, offset: 1, index: 0 }
const hashes = Array.from({ length: 20 }, (_, i) => refinedHash({ ...src, offset: i }, null, textBytes(`${i}`)))
const sum = (list: readonly HashSum[]): HashSum => list.reduce(addHash, 0n)

describe('the hash of a refined record', () => {
  it('is SHA-256 over the parts with their lengths, of whatever size and in whatever order they come', () => {
    const part = (bytes: Uint8Array): Buffer => {
      const length = Buffer.alloc(4)
      length.writeInt32BE(bytes.length)
      return Buffer.concat([length, bytes])
    }
    const text = textBytes('main;T;0;1;0')
    for (const size of [3, 31, 32, 33, 4060, 4090, 100, 16_400, 4090, 40_000, 2_000_000, 33, 4060]) {
      const framed = Buffer.from(Array.from({ length: size + 5 }, (_, i) => (i * 7 + size) & 255))
      const key = framed.subarray(1, 1 + (size % 50))
      const parts = Buffer.concat([part(text), part(key), part(framed.subarray(5))])
      const expected = createHash('sha256').update(parts).digest('hex').slice(0, 32)
      expect(formatHash(refinedHashOf(text, key, framed, 5)), `${size} bytes`).toBe(expected)
      expect(formatHash(refinedHash(src, Uint8Array.from(key), Uint8Array.from(framed.subarray(5))))).toBe(expected)
    }
  })
})

describe('a hash sum', () => {
  it('does not depend on order', () => {
    expect(sum(hashes.toReversed())).toBe(sum(hashes))
  })

  it('changes when a record is counted twice, and when it is counted twice more', () => {
    const [first] = hashes as [HashSum]
    expect(sum([...hashes, first])).not.toBe(sum(hashes))
    expect(sum([...hashes, first, first])).not.toBe(sum(hashes))
  })

  it('gives a part back by subtraction, also across the modulus', () => {
    const whole = sum(hashes)
    expect(subtractHash(whole, sum(hashes.slice(5)))).toBe(sum(hashes.slice(0, 5)))
    expect(subtractHash(0n, 1n)).toBe((1n << 128n) - 1n)
    expect(addHash((1n << 128n) - 1n, 1n)).toBe(0n)
  })

  it('reads back its text, zero padded', () => {
    expect(formatHash(255n)).toBe('000000000000000000000000000000ff')
    expect(parseHash(formatHash(sum(hashes)))).toBe(sum(hashes))
    expect(parseHash('')).toBe(0n)
  })
})

describe('record hashes', () => {
  it('tell null from empty, and a key from a value', () => {
    const empty = new Uint8Array()
    const a = textBytes('a')
    const all = [
      refinedHash(src, null, null),
      refinedHash(src, empty, null),
      refinedHash(src, null, empty),
      refinedHash(src, a, empty),
      refinedHash(src, empty, a),
    ]
    expect(new Set(all).size).toBe(all.length)
  })

  it('count the order of headers within a name only', () => {
    const at = { topicId: 'T', partition: 0, offset: 1 }
    const hash = (...headers: ReturnType<typeof header>[]): HashSum => rawHash(at, { key: null, value: null, headers })
    expect(hash(header('a', '1'), header('b', '2'))).toBe(hash(header('b', '2'), header('a', '1')))
    expect(hash(header('a', '1'), header('a', '2'))).not.toBe(hash(header('a', '2'), header('a', '1')))
  })
})

describe('counts', () => {
  it('add field by field', () => {
    const counts = addCounts(addCounts(ZERO_COUNTS, { ok: 2, hole: 1 }), { ok: 1, redelivered: 4 })
    expect(counts).toEqual({ ...ZERO_COUNTS, ok: 3, hole: 1, redelivered: 4 })
  })

  it('are published under a key per sequence', () => {
    expect(commitKey({ layer: 'silver', stream: 's', version: 2, lane: 'main', partition: 4 })).toBe(
      'silver/s/v2/main/4',
    )
  })
})
