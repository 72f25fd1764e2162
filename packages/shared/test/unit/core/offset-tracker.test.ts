import { describe, expect, it } from 'vitest'
import { createOffsetTracker } from '../../../src/core/offset-tracker.ts'

describe('the offset tracker', () => {
  it('commits only the contiguous prefix of what is done', () => {
    const tracker = createOffsetTracker(10)
    tracker.ack(15, 20)
    expect([tracker.committable(), tracker.waiting()]).toEqual([10, 1])
    tracker.ack(10, 12)
    expect(tracker.committable()).toBe(12)
    tracker.ack(12, 15)
    expect([tracker.committable(), tracker.waiting()]).toEqual([20, 0])
  })

  it('never passes a range that is not done, whatever the order of the others', () => {
    const ranges = Array.from({ length: 50 }, (_, i): [number, number] => [i * 3, i * 3 + 3])
    const order = ranges.map((_, i) => ranges[(i * 17) % 50]!)
    const tracker = createOffsetTracker(0)
    const done = new Set<number>()
    for (const [first, next] of order) {
      tracker.ack(first, next)
      done.add(first)
      const gap = ranges.find(([from]) => !done.has(from))
      expect(tracker.committable()).toBe(gap ? gap[0] : 150)
    }
  })

  it('ignores an empty range and refuses one that overlaps', () => {
    const tracker = createOffsetTracker(5)
    tracker.ack(5, 5)
    expect(tracker.committable()).toBe(5)
    tracker.ack(8, 9)
    expect(() => tracker.ack(8, 10)).toThrow('does not follow')
    expect(() => tracker.ack(4, 6)).toThrow('does not follow')
    expect(() => tracker.ack(7, 6)).toThrow('does not follow')
  })
})
