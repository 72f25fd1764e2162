import { expect, it } from 'vitest'
import { type FetchedRecord, filterAborted } from '../../../src/kafka/aborted-filter.ts'

const ABORT = Buffer.from([0, 0, 0, 0])
const COMMIT = Buffer.from([0, 0, 0, 1])

const data = (offset: number, producerId: number | string, key: Uint8Array | null = null): FetchedRecord => ({
  offset: String(offset),
  key,
  isControlRecord: false,
  batchContext: { producerId, inTransaction: true },
})
const marker = (offset: number, producerId: number, key: Uint8Array | null): FetchedRecord => ({
  ...data(offset, producerId, key),
  isControlRecord: true,
})
const plain = (offset: number): FetchedRecord => ({
  ...data(offset, -1),
  batchContext: { producerId: '-1', inTransaction: false },
})

const kept = (
  messages: FetchedRecord[],
  aborted: [firstOffset: number | string, producerId: number | string][] | null,
) =>
  filterAborted({
    messages,
    abortedTransactions: aborted && aborted.map(([firstOffset, producerId]) => ({ firstOffset, producerId })),
  })
    .filter((message) => !message.isControlRecord)
    .map((message) => Number(message.offset))

it('hides interleaved aborted transactions that are listed by completion', () => {
  const messages = [
    data(5, 2),
    data(6, 2),
    data(10, 1),
    data(11, 2),
    marker(12, 1, ABORT),
    marker(13, 2, ABORT),
    plain(14),
  ]
  expect(
    kept(messages, [
      [10, 1],
      [5, 2],
    ]),
  ).toEqual([14])
})

it('takes up every transaction that has begun when their first offsets are not in the log any more', () => {
  expect(
    kept(
      [data(9, 1), data(10, 2), plain(11)],
      [
        [3, 1],
        [4, 2],
      ],
    ),
  ).toEqual([11])
})

it('takes no data record for a marker, whatever its key', () => {
  expect(kept([data(0, 1, ABORT), data(1, 1), marker(2, 1, ABORT), data(3, 1)], [[0, 1]])).toEqual([3])
})

it('ends an aborted transaction at its abort marker only', () => {
  const short = Buffer.from([0, 0])
  expect(kept([data(0, 1), marker(1, 1, COMMIT), data(2, 1)], [[0, 1]])).toEqual([])
  expect(kept([data(0, 1), marker(1, 1, short), marker(2, 1, null), data(3, 1)], [[0, 1]])).toEqual([])
  expect(kept([data(0, 1), marker(1, 2, ABORT), data(2, 1)], [[0, 1]])).toEqual([])
})

it('hides two aborted transactions of one producer and keeps what it committed in between', () => {
  const messages = [data(0, 1), marker(1, 1, ABORT), data(2, 1), marker(3, 1, COMMIT), data(4, 1), marker(5, 1, ABORT)]
  expect(
    kept(messages, [
      [0, 1],
      [4, 1],
    ]),
  ).toEqual([2])
})

it('hides a transaction whose marker is in a later fetch', () => {
  expect(kept([data(0, 1), data(1, 1)], [[0, 1]])).toEqual([])
})

it('compares offsets and producer ids beyond 2^53', () => {
  const first = '9007199254740993'
  const messages = [{ ...data(0, '9007199254740995'), offset: first }]
  expect(kept(messages, [[first, '9007199254740995']])).toEqual([])
  expect(kept(messages, [[first, '9007199254740996']])).toHaveLength(1)
})

it('hands on what it was given when nothing was aborted, also a null list', () => {
  const messages = [data(0, 1), marker(1, 1, COMMIT)]
  expect(filterAborted({ messages, abortedTransactions: null })).toBe(messages)
  expect(filterAborted({ messages, abortedTransactions: [] })).toBe(messages)
})
