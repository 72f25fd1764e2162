import { BSON } from 'mongodb'
import { expect, test } from 'vitest'
import {
  firstPosition,
  shownPosition,
  startTime,
  streamStart,
  withSnapshotAgain,
} from '../../../../src/core/mongo/position.ts'

const time = (t: number, i: number) => new BSON.Timestamp({ t, i })
const LOCAL = new Date(1_700_000_000_900)

test('changes begin where a majority has committed, never at the newest time', () => {
  const lastWrite = { majorityOpTime: { ts: time(90, 3) } }
  expect(startTime({ lastWrite, operationTime: time(100, 1), localTime: LOCAL })).toEqual({ seconds: 90, ordinal: 3 })
})

test('a router, which knows no such time, is given a margin', () => {
  expect(startTime({ operationTime: time(100, 7), localTime: LOCAL })).toEqual({ seconds: 40, ordinal: 1 })
})

test('a server without an oplog is asked by its clock, and refuses when the stream is opened', () => {
  expect(startTime({ localTime: LOCAL })).toEqual({ seconds: 1_700_000_000, ordinal: 1 })
})

test('a stream starts at the time, and behind the token once there is one', () => {
  const first = firstPosition({ seconds: 90, ordinal: 3 }, true)
  expect(JSON.stringify(streamStart(first))).toBe(JSON.stringify({ startAtOperationTime: time(90, 3) }))
  expect(streamStart({ ...first, token: '{"_data":"82"}' })).toEqual({ startAfter: { _data: '82' } })
})

test('documents that are asked for again are read as of a new time, and leave the token', () => {
  const done = { ...firstPosition({ seconds: 90, ordinal: 3 }, false), token: '{"_data":"82"}' }
  expect(withSnapshotAgain(done)).toEqual({ ...done, snapshot: { at: null, after: null, documents: 0 } })
  expect(shownPosition(done)).toEqual({ changesUntil: '1970-01-01T00:01:30.000Z' })
})
