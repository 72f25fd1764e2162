import { NONE_PARKED } from '@mesh/shared/core/still-parked'
import { describe, expect, test } from 'vitest'
import {
  assessReadiness,
  type CandidatePositions,
  candidateLag,
  describeLag,
  enricherReached,
  nothingParkedBelow,
} from '../../../src/core/readiness.ts'

const positions = (of: Partial<CandidatePositions> = {}): CandidatePositions => ({
  live: [10, 20],
  candidate: [10, 20],
  parked: [NONE_PARKED, NONE_PARKED],
  replayLeft: [0, 0],
  changeover: [5, 5],
  refinedEnd: [7, 8],
  silver: [7, 8],
  landing: [7, 8],
  ...of,
})

describe('assessReadiness', () => {
  test('is reached when enricher and both sinks are there', () => {
    expect(assessReadiness(null, positions(), 1000)).toMatchObject({ reached: true, target: { takenAt: 1000 } })
  })

  test.each([
    ['the enricher is behind on one partition', { candidate: [10, 19] }],
    ['one partition still reads its replay topic', { candidate: [10, null] }],
    ['silver is behind', { silver: [7, 7] }],
    ['landing has committed nothing', { landing: [7, null] }],
  ])('is not reached when %s', (_, of) => {
    expect(assessReadiness(null, positions(of), 1000).reached).toBe(false)
  })

  test('a sink that has nothing to take need not have committed', () => {
    const of = { refinedEnd: [0, 0], silver: [null, null], landing: [null, null] }
    expect(assessReadiness(null, positions(of), 1000).reached).toBe(true)
  })

  test('live traffic does not move the target: sinks that lag by their interval reach it', () => {
    const first = assessReadiness(null, positions({ silver: [5, 8], refinedEnd: [7, 8] }), 1000)
    expect(first).toMatchObject({ reached: false, target: { live: [10, 20], refined: [7, 8] } })
    const later = positions({
      live: [30, 40],
      candidate: [28, 39],
      refinedEnd: [27, 28],
      silver: [7, 9],
      landing: [9, 9],
    })
    expect(assessReadiness(first.target, later, 5000)).toMatchObject({ reached: true, target: { takenAt: 1000 } })
  })

  test('what must be in the sinks is read only after the enricher is there', () => {
    const first = assessReadiness(null, positions({ candidate: [9, 20], refinedEnd: [6, 8], silver: [6, 8] }), 1000)
    expect(first.target.refined).toBeNull()
    const later = assessReadiness(first.target, positions({ silver: [6, 8] }), 2000)
    expect(later).toMatchObject({ reached: false, target: { refined: [7, 8] } })
  })
})

test('the lag of a candidate that still replays is what is left of the replay, then raw from its changeover', () => {
  const lag = candidateLag(
    positions({
      candidate: [null, 18],
      replayLeft: [3, 0],
      silver: [6, null],
      parked: [NONE_PARKED, { records: 4, from: 9 }],
    }),
  )
  expect(lag).toEqual([
    { partition: 0, enricher: 3 + 5, silver: 1, landing: 0, parked: 0 },
    { partition: 1, enricher: 2, silver: 8, landing: 0, parked: 4 },
  ])
  expect(describeLag(lag)).toBe(
    'partition 0: enricher 8, silver 1, landing 0 behind; partition 1: enricher 2, silver 8, landing 0 behind, 4 parked',
  )
  expect(candidateLag(positions({ live: [0, 0], candidate: [null, null] }))[0]!.enricher).toBe(1)
})

test('a candidate is where the live version is only if it reads raw itself', () => {
  expect(enricherReached([0], [null])).toBe(false)
  expect(enricherReached([0], [0])).toBe(true)
})

test('what is parked counts below the raw offsets in question, wherever newer records wait', () => {
  const parked = [NONE_PARKED, { records: 2, from: 15 }]
  expect(nothingParkedBelow([10, 15], { parked })).toBe(true)
  expect(nothingParkedBelow([10, 16], { parked })).toBe(false)
})
