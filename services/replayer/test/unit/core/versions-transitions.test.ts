import { findVersion, type StreamVersions } from '@mesh/shared/core/versions'
import { describe, expect, test } from 'vitest'
import {
  addCandidate,
  cancelCandidate,
  cutOver,
  finishReplay,
  firstBinding,
  moveChangeover,
  nextBinding,
} from '../../../src/core/versions-transitions.ts'

const bundle = (hash: string) => ({ hash, codeHash: 'code', contractHash: 'contract', schemaId: 1 })
const first = firstBinding({ stream: 's', rawTopicId: 'raw', partitions: 2, bundle: bundle('a'), at: 't0' })
const candidate = (version = 2, job = 'j') => ({
  version,
  bundle: bundle('a'),
  start: [1, 0],
  replay: { job, topic: `replay.s.${job}`, topicId: 'id', ends: null, changeover: [9, 9] },
  at: 't1',
})
const replaying = addCandidate(first, candidate())
const finished = finishReplay(replaying, 2, { ends: [8, 9], at: 't2' })
const live = cutOver(finished, 2, 't3')

describe('each change, applied to its own result, is that very object', () => {
  const changes: [string, StreamVersions, (state: StreamVersions) => StreamVersions][] = [
    ['a binding', first, (s) => nextBinding(s, bundle('b'), { from: [3, 4], at: 't' })],
    ['a candidate', first, (s) => addCandidate(s, candidate())],
    ['a moved changeover', replaying, (s) => moveChangeover(s, 2, { changeover: [9, 12], at: 't' })],
    ['a finished replay', replaying, (s) => finishReplay(s, 2, { ends: [8, 9], at: 't' })],
    ['a cutover', finished, (s) => cutOver(s, 2, 't')],
    ['a cancelled candidate', finished, (s) => cancelCandidate(s, 2, 't')],
  ]
  test.each(changes)('%s', (_, before, change) => {
    const after = change(before)
    expect(after).not.toBe(before)
    expect(change(after)).toBe(after)
  })
})

test('a cutover raises the epoch, retires what was live and ends the replay', () => {
  expect(live).toMatchObject({ live: 2, epoch: 1, at: 't3' })
  expect(findVersion(live, 1)!.status).toBe('retired')
  expect(findVersion(live, 2)).toMatchObject({ status: 'live', replay: null, start: [1, 0] })
})

test('a binding goes to the live version, not to a candidate', () => {
  const bound = nextBinding(replaying, bundle('b'), { from: [3, 4], at: 't' })
  expect(findVersion(bound, 1)!.bundles.map((b) => b.hash)).toEqual(['a', 'b'])
  expect(findVersion(bound, 2)!.bundles.map((b) => b.hash)).toEqual(['a'])
})

test('a cancelled candidate leaves everything else as it was', () => {
  expect({ ...cancelCandidate(finished, 2, 't'), at: 't0' }).toEqual(first)
})

test.each<[string, () => unknown]>([
  ['a second candidate', () => addCandidate(replaying, candidate(3, 'k'))],
  ['a version number given twice', () => addCandidate(live, candidate(1))],
  [
    'a binding that goes back',
    () =>
      nextBinding(nextBinding(first, bundle('b'), { from: [5, 5], at: 't' }), bundle('c'), { from: [4, 5], at: 't' }),
  ],
  ['offsets of another partition count', () => nextBinding(first, bundle('b'), { from: [5], at: 't' })],
  ['a changeover before the start', () => addCandidate(first, { ...candidate(), start: [10, 0] })],
  ['a changeover that goes back', () => moveChangeover(replaying, 2, { changeover: [8, 9], at: 't' })],
  ['a changeover moved after the end is known', () => moveChangeover(finished, 2, { changeover: [10, 10], at: 't' })],
  ['a cutover to what is no candidate', () => cutOver(live, 1, 't')],
  ['cancelling the live version', () => cancelCandidate(live, 2, 't')],
])('%s is a defect that is never written', (_, change) => {
  expect(change).toThrow('stream s:')
})
