import { describe, expect, test } from 'vitest'
import {
  bookEventTime,
  bookFate,
  booksMetadata,
  closeStep,
  openBooks,
  readBooks,
  refinedCommitEvent,
} from '../../../src/core/books.ts'
import { refusal } from '../../../src/core/problem.ts'

const ID = { stream: 'orders', version: 1, rawTopicId: 'raw-1', partition: 0 }

describe('books', () => {
  test('every fate has its count, and what was published counts as ok', () => {
    const books = openBooks(0, 0)
    bookFate(books, { kind: 'ok', records: [], hash: 0n })
    bookFate(books, { kind: 'published', outputs: 2, hash: 5n })
    bookFate(books, { kind: 'duplicate' })
    bookFate(books, { kind: 'drop' })
    bookFate(books, { kind: 'deadLetter', problem: refusal('X', 'y') })
    expect(books.counts).toMatchObject({ ok: 2, outputs: 2, duplicate: 1, drop: 1, deadLetter: 1, parked: 0 })
    expect(books.hash).toBe(5n)
  })

  test('survive their way through metadata, well below the size a broker takes', () => {
    const books = openBooks(Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER - 1)
    for (const name of Object.keys(books.counts) as (keyof typeof books.counts)[]) books.counts[name] = 2 ** 52
    books.hash = (1n << 128n) - 1n
    books.codeHash = 'c'.repeat(64)
    books.contractHash = 'd'.repeat(64)
    books.rawTime = 4_000_000_000_000
    bookEventTime(books, -1)
    const metadata = booksMetadata(books)
    expect(readBooks(metadata, 'here')).toEqual(books)
    expect(metadata.length).toBeLessThan(1500)
  })

  test.each(['', '{}', '[]', '{"v":2,"refinedNext":1,"sourceNext":1}', 'null'])('%j is no books', (metadata) => {
    expect(() => readBooks(metadata, 'refined.orders.v1/0')).toThrow(
      expect.objectContaining({ code: 'MESH_REFINE_BOOKS_LOST' }),
    )
  })

  test('steps tile, and carry their own event times', () => {
    const books = openBooks(3, 0)
    books.sourceNext = 8
    bookEventTime(books, 20)
    bookEventTime(books, 10)
    expect(refinedCommitEvent(ID, books, 'now')).toMatchObject({
      layer: 'refined',
      topicId: 'raw-1',
      firstOffset: 3,
      nextOffset: 8,
      minEventTime: 10,
      maxEventTime: 20,
    })
    closeStep(books)
    books.sourceNext = 9
    expect(refinedCommitEvent(ID, books, 'now')).toMatchObject({ firstOffset: 8, nextOffset: 9, minEventTime: null })
  })
})
