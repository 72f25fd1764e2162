import { expect, test } from 'vitest'
import { addParked, NONE_PARKED, stillParkedIn } from '../../../src/core/still-parked.ts'

const books = (parked: number, lane: object): string => JSON.stringify({ v: 1, counts: { parked }, parked: lane })
const released = { ok: 2, drop: 1, deadLetter: 1 }

test('what waits is what was parked less what was released, from the lowest raw offset that the books name', () => {
  expect(stillParkedIn(books(9, { ...released, rawFrom: 70 }))).toEqual({ records: 5, from: 70 })
  expect(stillParkedIn(books(4, { ...released, rawFrom: null }))).toEqual(NONE_PARKED)
})

test('books that do not name it count from the start; metadata that is no books has nothing parked', () => {
  expect(stillParkedIn(books(5, released))).toEqual({ records: 1, from: 0 })
  for (const text of ['', 'x', '{}', JSON.stringify({ counts: { parked: 3 } })]) {
    expect(stillParkedIn(text)).toEqual(NONE_PARKED)
  }
})

test('two versions have parked the sum, from the lower offset', () => {
  const one = { records: 2, from: 9 }
  expect(addParked(one, NONE_PARKED)).toEqual(one)
  expect(addParked(NONE_PARKED, one)).toEqual(one)
  expect(addParked(one, { records: 1, from: 4 })).toEqual({ records: 3, from: 4 })
})
