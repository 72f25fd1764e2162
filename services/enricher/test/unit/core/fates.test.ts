import { describe, expect, test } from 'vitest'
import { createPublishedFates } from '../../../src/core/fates.ts'

const SEQUENCE = { lane: 'main', topicId: 'raw-1', partition: 2 }
const output = { hash: 7n, refinedOffset: 5 }
const src = (offset: number, index = 0) => ({ ...SEQUENCE, offset, index })

describe('published fates', () => {
  test('sums the outputs of a raw record and knows which records were passed over', () => {
    const fates = createPublishedFates(SEQUENCE, 10)
    fates.add(src(10), { hash: 1n, refinedOffset: 70 })
    fates.add(src(12, 0), { hash: 2n, refinedOffset: 71 })
    fates.add(src(12, 1), { hash: 3n, refinedOffset: 72 })
    expect(fates.at(10)).toEqual({ outputs: 1, hash: 1n })
    expect(fates.at(11)).toBeNull()
    expect(fates.at(12)).toEqual({ outputs: 2, hash: 5n })
    expect([fates.passed(11), fates.passed(12), fates.passed(13)]).toEqual([true, false, false])
    expect([10, 11, 12, 13].map((next) => fates.pendingFrom(next))).toEqual([70, 71, 71, null])
  })

  test('an output that lies twice on the topic counts once', () => {
    const fates = createPublishedFates(SEQUENCE, 0)
    for (const offset of [1, 2, 1, 2, 3]) fates.add(src(offset), output)
    expect([1, 2, 3].map((offset) => fates.at(offset)?.outputs)).toEqual([1, 1, 1])
  })

  test('ignores decided records and other sequences', () => {
    const fates = createPublishedFates(SEQUENCE, 10)
    fates.add(src(9), output)
    fates.add({ ...src(11), lane: 'parked' }, output)
    fates.add({ ...src(11), topicId: 'raw-0' }, output)
    fates.add({ ...src(11), partition: 1 }, output)
    expect(fates.pendingFrom(0)).toBeNull()
    expect(fates.at(11)).toBeNull()
  })
})
