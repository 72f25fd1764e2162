import { formatMeshSrc } from '@mesh/shared/core/coordinate'
import { expect, test } from 'vitest'
import { meshSrcBytes } from '../../../src/core/src-bytes.ts'

const OFFSETS = [0, 1, 9, 10, 99, 100, 12_345, 999_999_999, 4_294_967_296, 1e15, 1e15 + 1, 9_007_199_254_740_991]

test('the bytes are those of the text, whatever came before', () => {
  for (const offset of OFFSETS) {
    for (const index of [0, 9, 10, 123]) {
      for (const lane of ['main', 'redrive-größe']) {
        for (const partition of [0, 17]) {
          const src = { lane, topicId: `topic-${partition % 2}`, partition, offset, index }
          expect(meshSrcBytes(src).toString('utf8')).toBe(formatMeshSrc(src))
        }
      }
    }
  }
})
