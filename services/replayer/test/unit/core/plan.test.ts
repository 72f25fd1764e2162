import { describe, expect, test } from 'vitest'
import { agedChangeover, boundTime, gapsOf, makePlan, type PartitionFacts } from '../../../src/core/plan.ts'

const facts = (of: Partial<PartitionFacts> & { lakeTo?: number } = {}): PartitionFacts => ({
  partition: 0,
  logStartOffset: 0,
  end: 100,
  lake: { nextOffset: of.lakeTo ?? 60, holes: [] },
  fromAtTime: null,
  toAtTime: null,
  ...of,
})
const identity = { rawTopicId: 'raw-id', bundle: 'b' }
const planned = (request: Parameters<typeof makePlan>[0], of: PartitionFacts) =>
  makePlan(request, [of], identity).partitions[0]!

describe('makePlan', () => {
  test('takes the lake as far as it reaches, and the log from there', () => {
    expect(planned({}, facts())).toEqual({ partition: 0, from: 0, to: 100, lakeTo: 60, holes: 0 })
    expect(planned({ to: { '0': 40 } }, facts())).toMatchObject({ to: 40, lakeTo: 40 })
    expect(planned({ from: { '0': 70 } }, facts())).toMatchObject({ from: 70, lakeTo: 70 })
    expect(planned({}, facts({ lakeTo: 0 }))).toMatchObject({ lakeTo: 0 })
  })

  test('counts declared holes inside the range only', () => {
    const lake = {
      nextOffset: 60,
      holes: [
        { from: 0, to: 10 },
        { from: 50, to: 60 },
      ],
    }
    expect(planned({ from: { '0': 5 }, to: { '0': 55 } }, facts({ lake }))).toMatchObject({ holes: 10 })
    expect(planned({ source: 'log' }, facts({ lake }))).toMatchObject({ holes: 0 })
  })

  test('takes a time as the offset that was found for it', () => {
    const of = facts({ fromAtTime: 12, toAtTime: 80 })
    expect(planned({ from: '2026-01-01T00:00:00Z', to: '2026-01-02T00:00:00Z' }, of)).toMatchObject({
      from: 12,
      to: 80,
    })
  })

  test('names every gap of every partition at once', () => {
    const gapped = [
      facts({ logStartOffset: 70 }),
      facts({ partition: 1, logStartOffset: 90, lakeTo: 95 }),
      facts({ partition: 2, logStartOffset: 61 }),
    ]
    expect(() => makePlan({}, gapped, identity)).toThrow(
      'partition 0 offsets [60, 70) are not in the log; partition 2 offsets [60, 61) are not in the log',
    )
  })

  test('has a hash of everything that it fixes', () => {
    const hash = (of: PartitionFacts, bundle = 'b') => makePlan({}, [of], { ...identity, bundle }).hash
    expect(hash(facts())).toBe(hash(facts()))
    expect(
      new Set([hash(facts()), hash(facts({ end: 101 })), hash(facts({ lakeTo: 61 })), hash(facts(), 'c')]).size,
    ).toBe(4)
  })
})

test('a gap is found for each source', () => {
  const range = { partition: 0, from: 0, to: 100, lakeTo: 60 }
  const of = (logStartOffset: number, droppedTo = 0): Parameters<typeof gapsOf>[2] => ({
    logStartOffset,
    lake: { nextOffset: 60, holes: [], droppedTo },
  })
  expect(gapsOf('auto', range, of(60))).toEqual([])
  expect(gapsOf('auto', range, of(61))).toMatchObject([{ from: 60, to: 61, missingFrom: 'log' }])
  expect(gapsOf('lake', range, of(0))).toMatchObject([{ from: 60, to: 100, missingFrom: 'lake' }])
  // Everything is in the lake, and the candidate could not go on from the log.
  expect(gapsOf('lake', { ...range, lakeTo: 100 }, of(101))).toMatchObject([{ from: 100, to: 101 }])
  // What the lake's retention dropped is never left out in silence: whoever can do without it asks for a later `from`.
  expect(gapsOf('auto', range, of(60, 40))).toEqual([{ partition: 0, from: 0, to: 40, missingFrom: 'lake' }])
  expect(gapsOf('lake', { ...range, from: 40, to: 60 }, of(60, 40))).toEqual([])
})

test('a time needs an offset from UTC', () => {
  expect(boundTime('from', '1970-01-01T00:00:01Z')).toBe(1000)
  expect(boundTime('from', '1970-01-01T01:00:01+01:00')).toBe(1000)
  expect(boundTime('from', { '0': 1 })).toBeNull()
  expect(() => boundTime('from', '1970-01-01T00:00:01')).toThrow('from is not an RFC 3339 time')
})

test('a changeover moves to the end once it is older than half of the retention, partition by partition', () => {
  expect(agedChangeover([10, 20], [10, 20], [50, 60])).toBeNull()
  expect(agedChangeover([10, 20], [11, 20], [50, 60])).toEqual([50, 20])
  // Nothing young is left, and the changeover is the end already.
  expect(agedChangeover([50], [50], [50])).toBeNull()
})
