import { ZERO_COUNTS } from '@mesh/shared/core/books'
import { describe, expect, test } from 'vitest'
import { closeBooks, type PartitionBooks } from '../../../src/verify/books.ts'
import { type Cut, isWithin, parseCut } from '../../../src/verify/cut.ts'
import { renderBooks } from '../../../src/verify/render.ts'

const hash = (n: number): string => n.toString(16).padStart(32, '0')
const COUNTS = { ...ZERO_COUNTS, ok: 5, outputs: 6, drop: 1, duplicate: 1, deadLetter: 1, parked: 3 }
const METADATA = {
  counts: COUNTS,
  hash: hash(10),
  parked: { next: 2_000_000, ok: 1, outputs: 4, drop: 1, deadLetter: 0, hash: hash(7) },
}
const CUT: Cut = parseCut(0, { offset: 11, metadata: JSON.stringify(METADATA) })!

function booksOf(changes: Partial<PartitionBooks> = {}): PartitionBooks {
  return {
    stream: 'orders',
    version: 1,
    partition: 0,
    start: 0,
    position: CUT.position,
    fates: CUT.counts,
    outputs: CUT.outputs,
    waiting: CUT.waiting,
    raw: { records: 11, hash: hash(1) },
    bronze: { records: 11, hash: hash(1), holes: 0, reached: 11 },
    refined: { records: 10, hash: hash(17), redelivered: 2, compacted: false },
    silver: { records: 10, hash: hash(17), behind: false },
    landing: { records: 10, hash: hash(17), behind: false },
    ...changes,
  }
}

describe('the cut', () => {
  test('sums outputs and content over lanes, keeps the fates of main, and knows what still waits', () => {
    expect(CUT).toEqual({
      partition: 0,
      position: 11,
      parkedNext: 2_000_000,
      counts: COUNTS,
      outputs: { records: 10, hash: hash(17) },
      waiting: 1,
    })
  })

  test('is read from books that were written before there were lanes', () => {
    const { parked: _, ...older } = METADATA
    expect(parseCut(0, { offset: 11, metadata: JSON.stringify(older) })).toMatchObject({
      parkedNext: 0,
      outputs: { records: 6, hash: hash(10) },
    })
    expect(parseCut(0, { offset: 11, metadata: '' })).toBeNull()
  })

  test('counts a lane up to its own position', () => {
    expect([10, 11].map((offset) => isWithin(CUT, 'main', offset))).toEqual([true, false])
    expect([1_999_999, 2_000_000].map((offset) => isWithin(CUT, 'parked', offset))).toEqual([true, false])
    expect(isWithin(CUT, 'redrive-1', 0)).toBe(false)
  })
})

describe('books with parked records', () => {
  test('close: fates are those of main, outputs those of all lanes', () => {
    expect(closeBooks(booksOf())).toMatchObject({ state: 'closed', findings: [] })
  })

  test('do not close when a released output is missing in a layer, or counted as a fate of its own', () => {
    const silver = { records: 9, hash: hash(16), behind: false }
    expect(closeBooks(booksOf({ silver })).findings.map(({ check }) => check)).toEqual([
      'outputs = rows(silver)',
      'content(enricher) = content(silver)',
    ])
    const fates = { ...COUNTS, ok: COUNTS.ok + 1 }
    expect(closeBooks(booksOf({ fates })).state).toBe('open')
  })

  test('show how many records wait', () => {
    const verdict = closeBooks(booksOf())
    const summary = { stream: 'orders', version: 1, live: true, state: verdict.state, records: 11, verdicts: [verdict] }
    const table = renderBooks([{ ...summary, counts: { ...COUNTS, outputs: 10 }, waiting: 1 }])
    expect(table.split('\n')[0]).toMatch(/parked +waiting +books$/)
    expect(table.split('\n')[1]).toMatch(/ 3 +1 +closed$/)
  })
})
