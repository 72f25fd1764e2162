import { describe, expect, it } from 'vitest'
import type { HighestSrc, MeshSrc } from '../../../src/core/coordinate.ts'
import {
  advanceHighest,
  compareMeshSrc,
  formatMeshSrc,
  isRedelivered,
  parseMeshSrc,
} from '../../../src/core/coordinate.ts'

const src = (offset: number, index = 0, lane = 'main'): MeshSrc => ({ lane, topicId: 'T', partition: 3, offset, index })

describe('mesh-src', () => {
  it('reads back what it writes', () => {
    expect(formatMeshSrc(src(17, 2))).toBe('main;T;3;17;2')
    expect(parseMeshSrc('main;T;3;17;2')).toEqual(src(17, 2))
  })

  it.each(['', 'main;T;3;17', 'main;T;3;17;2;x', 'main;T;-1;17;2', ';T;3;17;2', 'main;T;3;1.5;2', 'main;T;a;1;2'])(
    'refuses %j',
    (text) => {
      expect(() => parseMeshSrc(text)).toThrow(expect.objectContaining({ code: 'MESH_DECODE_AVRO' }))
    },
  )

  it('orders by offset, then by output', () => {
    const sorted = [src(2, 0), src(1, 1), src(1, 0)].sort(compareMeshSrc)
    expect(sorted.map(formatMeshSrc)).toEqual(['main;T;3;1;0', 'main;T;3;1;1', 'main;T;3;2;0'])
  })
})

describe('the highest mesh-src', () => {
  it('tells a redelivered record, per lane', () => {
    const highest: HighestSrc = {}
    expect(isRedelivered(highest, src(5))).toBe(false)
    advanceHighest(highest, src(5, 1))
    expect(isRedelivered(highest, src(5, 1))).toBe(true)
    expect(isRedelivered(highest, src(5, 0))).toBe(true)
    expect(isRedelivered(highest, src(5, 2))).toBe(false)
    expect(isRedelivered(highest, src(4, 0, 'parked'))).toBe(false)
  })
})
