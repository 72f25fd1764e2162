import { describe, expect, it } from 'vitest'
import type { BundleBinding, StreamVersion, StreamVersions } from '../../../src/core/versions.ts'
import { bundleAt, findVersion, liveVersion, newestBundle } from '../../../src/core/versions.ts'

const bundle = (hash: string, from: readonly number[]): BundleBinding => ({
  hash,
  codeHash: hash,
  contractHash: hash,
  schemaId: 1,
  from,
})
const version: StreamVersion = {
  version: 1,
  status: 'live',
  bundles: [bundle('a', [0, 0]), bundle('b', [10, 20]), bundle('c', [30])],
  start: [0, 0],
  replay: null,
}
const state: StreamVersions = {
  stream: 's',
  epoch: 0,
  live: 1,
  rawTopicId: 'T',
  partitions: 2,
  versions: [version],
  at: '2026-01-01T00:00:00Z',
}

describe('bundleAt', () => {
  it.each([
    [0, 0, 'a'],
    [0, 9, 'a'],
    [0, 10, 'b'],
    [0, 29, 'b'],
    [0, 30, 'c'],
    [1, 19, 'c'],
  ])('gives the last binding that has begun at partition %d, offset %d', (partition, offset, hash) => {
    expect(bundleAt(version, partition, offset).hash).toBe(hash)
  })
})

describe('versions of a stream', () => {
  it('are found by number, and the live one by the pointer', () => {
    expect(findVersion(state, 2)).toBeUndefined()
    expect(liveVersion(state)).toBe(version)
    expect(newestBundle(version).hash).toBe('c')
  })

  it('throw when the pointer leads nowhere or a version has no bundle', () => {
    expect(() => liveVersion({ ...state, live: 9 })).toThrow('live version 9')
    expect(() => newestBundle({ ...version, bundles: [] })).toThrow('no bundle')
  })
})
