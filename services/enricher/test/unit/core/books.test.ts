import { describe, expect, test } from 'vitest'
import {
  bookEventTime,
  bookFate,
  bookRelease,
  closeStep,
  MAX_SETTLED,
  openBooks,
  stillParked,
} from '../../../src/core/books.ts'
import { booksMetadata, commitEvents, isTransactional, readBooks } from '../../../src/core/books-metadata.ts'
import { refusal } from '../../../src/core/problem.ts'

const ID = { stream: 'orders', version: 1, rawTopicId: 'raw-1', partition: 0 }

describe('books', () => {
  test('every fate has its count, and what was published counts as ok', () => {
    const books = openBooks(0, 0)
    bookFate(books, { kind: 'ok', records: [], hash: 0n, bytes: 0 })
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

  test('fit the metadata of an offset with as many settled records as a commit may have, however far they lie apart', () => {
    const books = openBooks(Number.MAX_SAFE_INTEGER - 1, Number.MAX_SAFE_INTEGER - 1)
    for (const name of Object.keys(books.counts) as (keyof typeof books.counts)[]) books.counts[name] = 2 ** 52
    const apart = Math.floor(Number.MAX_SAFE_INTEGER / (MAX_SETTLED + 1))
    for (let i = 1; i <= MAX_SETTLED; i++) bookRelease(books, apart * i, { kind: 'ok', outputs: 9, hash: 1n << 127n })
    books.parked.next = 2 ** 52
    const metadata = booksMetadata({ ...books, codeHash: 'c'.repeat(64), contractHash: 'd'.repeat(64) })
    expect(readBooks(metadata, 'here').parked).toEqual(books.parked)
    expect(metadata.length).toBeLessThan(4096)
  })

  test('of a version without parked records, and of one before there were any, say that none are', () => {
    const { parked: _, transactional: __, commits: ___, ...older } = JSON.parse(booksMetadata(openBooks(4, 7)))
    const books = readBooks(JSON.stringify(older), 'here')
    expect(books).toEqual(openBooks(4, 7))
    expect(isTransactional(JSON.stringify(older))).toBe(false)
    expect(isTransactional(booksMetadata({ ...books, transactional: true }))).toBe(true)
  })

  test('what is parked stays a fate of main; its releases are booked in their own lane, once each', () => {
    const books = openBooks(0, 0)
    for (let i = 0; i < 4; i++) bookFate(books, { kind: 'parked' })
    bookRelease(books, 0, { kind: 'ok', outputs: 2, hash: 5n })
    bookRelease(books, 1, { kind: 'drop' })
    bookRelease(books, 2, { kind: 'deadLetter' })
    expect(books.counts).toMatchObject({ parked: 4, ok: 0, outputs: 0 })
    expect(stillParked(books)).toBe(1)
    books.parked.next = 1_000_000
    const [main, parked] = commitEvents(ID, books, 0)
    expect(main).toMatchObject({ lane: 'main', counts: { parked: 4, outputs: 0 } })
    expect(parked).toMatchObject({
      lane: 'parked',
      firstOffset: 0,
      nextOffset: 1_000_000,
      counts: { ok: 1, outputs: 2, drop: 1, deadLetter: 1, parked: 0 },
    })
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
    expect(commitEvents(ID, books, 0)[0]).toMatchObject({
      layer: 'refined',
      topicId: 'raw-1',
      firstOffset: 3,
      nextOffset: 8,
      minEventTime: 10,
      maxEventTime: 20,
    })
    closeStep(books)
    books.sourceNext = 9
    expect(commitEvents(ID, books, 0)[0]).toMatchObject({ firstOffset: 8, nextOffset: 9, minEventTime: null })
  })
})
