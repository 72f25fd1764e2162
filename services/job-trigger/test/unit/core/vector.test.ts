import type { InputPosition, InputRange } from '@mesh/shared/core/runs'
import { describe, expect, test } from 'vitest'
import {
  advancePosition,
  coverVector,
  gapIn,
  mergeVectors,
  pendingVector,
  positionKey,
  positionsOf,
} from '../../../src/core/vector.ts'
import { commit, RAW_ID } from '../../support/jobs.ts'

const table = (...events: Parameters<typeof advancePosition>[1][]): Map<string, InputPosition> => {
  const positions = new Map<string, InputPosition>()
  for (const event of events) advancePosition(positions, event)
  return positions
}
const everything = (): boolean => true

describe('positions', () => {
  test('a repeated commit event, or an older one, moves nothing', () => {
    const positions = table(commit(10))
    expect(advancePosition(positions, commit(10))).toBe(false)
    expect(advancePosition(positions, commit(4))).toBe(false)
    expect(advancePosition(positions, commit(11))).toBe(true)
  })

  test('a topic that was made anew begins at 0', () => {
    const positions = table(commit(10), commit(3, { topicId: 'another' }))
    expect(pendingVector(new Map(), positions, everything).map(({ topicId, from, to }) => [topicId, from, to])).toEqual(
      [
        ['another', 0, 3],
        ['flights-v1', 0, 10],
      ],
    )
  })
})

describe('vectors', () => {
  test('what is pending begins where the job has got to, in offsets and in rows', () => {
    const covered = table(commit(10))
    const [range] = pendingVector(covered, table(commit(25)), everything)
    const sequence = `main;${RAW_ID};0`
    expect(range).toMatchObject({
      from: 10,
      to: 25,
      after: { [sequence]: { offset: 9, index: 0 } },
      upTo: { [sequence]: { offset: 24, index: 0 } },
    })
  })

  test('two vectors that follow one another make one, and a hole between them is refused', () => {
    const first = pendingVector(new Map(), table(commit(10)), everything)
    const second = pendingVector(table(commit(10)), table(commit(20), commit(5, { partition: 1 })), everything)
    expect(mergeVectors(first, second).map(({ partition, from, to }) => [partition, from, to])).toEqual([
      [0, 0, 20],
      [1, 0, 5],
    ])
    const later: InputRange[] = [{ ...second[0]!, from: 12 }]
    expect(() => mergeVectors(first, later)).toThrow('12 does not follow 10')
    expect(gapIn(positionsOf([...table(commit(10)).values()]), later)).toContain('begins at 12, the job has had 10')
  })

  test('covering a vector is what makes the next one empty', () => {
    const positions = table(commit(10), commit(7, { partition: 1 }))
    const vector = pendingVector(new Map(), positions, everything)
    const covered = positionsOf(coverVector(new Map(), vector, positions))
    expect(pendingVector(covered, positions, everything)).toEqual([])
    expect([...covered.keys()]).toEqual([...positions.values()].map(positionKey).sort())
  })
})
