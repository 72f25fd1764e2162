import { expect, test } from 'vitest'
import { runId } from '../../../src/core/run-id.ts'
import { advancePosition, pendingVector } from '../../../src/core/vector.ts'
import { commit } from '../../support/jobs.ts'

const vector = (to: number) => {
  const positions = new Map()
  advancePosition(positions, commit(to))
  return pendingVector(new Map(), positions, () => true)
}

test('the same job and input give the same id, for ever; anything else another', () => {
  const identity = { job: 'gold', full: false, vector: vector(10), occasion: '' }
  expect(runId(identity)).toBe('gold.86b5d3f740465e52265d')
  const others = [
    { ...identity, job: 'silver' },
    { ...identity, full: true },
    { ...identity, vector: vector(11) },
    { ...identity, occasion: '2026-03-01T00:00:00.000Z' },
  ]
  expect(new Set([identity, ...others].map(runId)).size).toBe(5)
})
