import { expect, it } from 'vitest'
import { coPartition } from '../../../src/kafka/co-partition.ts'

it('gives partition p of every topic to one member', () => {
  const assignment = coPartition(['m1', 'm2'], { raw: [0, 1, 2, 3], replay: [0, 1, 2, 3] })
  expect(assignment).toEqual({
    m1: { raw: [0, 2], replay: [0, 2] },
    m2: { raw: [1, 3], replay: [1, 3] },
  })
})

it('does not depend on the order of members, topics or partitions', () => {
  const one = coPartition(['b', 'a', 'c'], { y: [2, 0, 1], x: [1, 0] })
  const other = coPartition(['c', 'b', 'a'], { x: [1, 0], y: [2, 0, 1] })
  expect(other).toEqual(one)
})

it('gives every partition away exactly once, also of topics with different counts', () => {
  const assignment = coPartition(['a', 'b', 'c'], { x: [0, 1, 2, 3, 4], y: [0, 1] })
  const given = Object.values(assignment).flatMap((own) =>
    Object.entries(own).flatMap(([topic, partitions]) => partitions.map((p) => `${topic}/${p}`)),
  )
  expect(given.sort()).toEqual(['x/0', 'x/1', 'x/2', 'x/3', 'x/4', 'y/0', 'y/1'])
})

it('names members that get nothing', () => {
  expect(coPartition(['a', 'b'], { x: [0] })).toEqual({ a: { x: [0] }, b: {} })
  expect(coPartition(['a'], {})).toEqual({ a: {} })
})
