import { describe, expect, test } from 'vitest'
import { readBindRequest, readReplayRequest } from '../../../src/core/read-request.ts'

describe('a replay request', () => {
  test('is taken with every field', () => {
    const body = {
      stream: 's',
      from: { '0': 3 },
      to: '2026-01-01T00:00:00Z',
      source: 'lake',
      bundle: 'ab',
      recordsPerSecond: 0.5,
    }
    expect(readReplayRequest(body)).toEqual(body)
    expect(readReplayRequest({ stream: 's' })).toEqual({ stream: 's' })
  })

  test.each([
    [null, 'not a JSON object'],
    [[], 'not a JSON object'],
    [{}, 'stream is missing'],
    [{ stream: '' }, 'stream is missing'],
    [{ stream: 's', sorce: 'lake' }, 'sorce is not a field'],
    [{ stream: 's', source: 'Lake' }, 'source is one of'],
    [{ stream: 's', from: 5 }, 'from is neither'],
    [{ stream: 's', from: { a: 5 } }, 'which is no partition'],
    [{ stream: 's', from: { '01': 5 } }, 'which is no partition'],
    [{ stream: 's', to: { '0': 1.5 } }, 'to of partition 0 is not an offset'],
    [{ stream: 's', to: { '0': '5' } }, 'to of partition 0 is not an offset'],
    [{ stream: 's', bundle: '../x' }, 'not the hash of a bundle'],
    [{ stream: 's', recordsPerSecond: 0 }, 'a number above 0'],
    [{ stream: 's', recordsPerSecond: '5' }, 'a number above 0'],
  ])('%j is refused', (body, text) => {
    expect(() => readReplayRequest(body)).toThrow(
      expect.objectContaining({ code: 'MESH_REPLAY_INVALID', message: expect.stringContaining(text) as string }),
    )
  })
})

test('a bind request names a bundle and nothing else', () => {
  expect(readBindRequest({ bundle: 'ab01' })).toEqual({ bundle: 'ab01' })
  expect(() => readBindRequest({ bundle: 'ab01', force: true })).toThrow('force is not a field')
  expect(() => readBindRequest({})).toThrow('not the hash of a bundle')
})
