import { ZERO_COUNTS } from '@mesh/shared/core/books'
import { describe, expect, test } from 'vitest'
import { createPartitionBuffer, type PartitionStart } from '../../../src/core/partition-buffer.ts'
import { rowAt, TABLE } from '../rows.ts'

const START: PartitionStart = { table: TABLE, topicId: 't', partition: 0, entry: null, logStartOffset: 0 }

describe('partition buffer', () => {
  test('a cut holds exactly the rows and books up to its next offset, and cuts tile', () => {
    const buffer = createPartitionBuffer(START)
    buffer.accept(0, rowAt(10), 100)
    buffer.accept(1, rowAt(11), 50)
    const first = buffer.cut()!
    buffer.accept(2, rowAt(12), 1)
    buffer.advance(5)
    const second = buffer.cut()!
    expect(first.expected).toBeNull()
    expect(first.entry).toMatchObject({ firstOffset: 0, nextOffset: 2, bytes: 150 })
    expect(first.entry.counts).toEqual({ ...ZERO_COUNTS, ok: 2, outputs: 2 })
    expect(first.entry.minEventTime).toBe(Date.parse(rowAt(10).eventTime))
    expect(first.entry.maxEventTime).toBe(Date.parse(rowAt(11).eventTime))
    expect(second.expected).toBe(2)
    expect(second.entry).toMatchObject({ firstOffset: 2, nextOffset: 5, bytes: 1 })
    expect(second.rows).toHaveLength(1)
    expect(second.entry.counts.ok).toBe(3)
    expect(second.entry.hash).toBe((rowAt(10).hash + rowAt(11).hash + rowAt(12).hash) % (1n << 128n))
    expect(buffer.cut()).toBeNull()
  })

  test('a record at or below the highest mesh-src is counted as redelivered and adds neither row nor hash', () => {
    const buffer = createPartitionBuffer(START)
    buffer.accept(0, rowAt(10), 1)
    expect(buffer.accept(1, rowAt(10), 1)).toBe(false)
    expect(buffer.accept(2, rowAt(9), 1)).toBe(false)
    expect(buffer.accept(3, rowAt(11), 1)).toBe(true)
    const { entry, rows } = buffer.cut()!
    expect(rows.map((row) => row.src.offset)).toEqual([10, 11])
    expect(entry.counts).toEqual({ ...ZERO_COUNTS, ok: 2, outputs: 2, redelivered: 2 })
    expect(entry.nextOffset).toBe(4)
  })

  test('several outputs of one raw record are all taken', () => {
    const buffer = createPartitionBuffer(START)
    const src = rowAt(3).src
    expect(buffer.accept(0, rowAt(3, { src: { ...src, index: 0 } }), 1)).toBe(true)
    expect(buffer.accept(1, rowAt(3, { src: { ...src, index: 1 } }), 1)).toBe(true)
    expect(buffer.accept(2, rowAt(3, { src: { ...src, index: 1 } }), 1)).toBe(false)
  })

  test('goes on from a ledger entry with its counts, hash and highest mesh-src', () => {
    const before = createPartitionBuffer(START)
    before.accept(0, rowAt(10), 1)
    const { entry } = before.cut()!
    const after = createPartitionBuffer({ ...START, entry })
    expect(after.nextOffset()).toBe(1)
    expect(after.pending()).toBe(false)
    expect(after.accept(1, rowAt(10), 1)).toBe(false)
    after.accept(2, rowAt(11), 1)
    expect(after.cut()!.entry.counts).toMatchObject({ ok: 2, redelivered: 1 })
  })

  test('a step that was cut does not change when more arrives', () => {
    const buffer = createPartitionBuffer(START)
    buffer.accept(0, rowAt(10), 1)
    const { entry, rows } = buffer.cut()!
    buffer.accept(1, rowAt(11), 1)
    expect(rows).toHaveLength(1)
    expect(Object.values(entry.highest)).toEqual([{ offset: 10, index: 0 }])
  })

  test('offsets that retention took are booked as a hole', () => {
    const buffer = createPartitionBuffer({ ...START, logStartOffset: 7 })
    expect(buffer.nextOffset()).toBe(7)
    expect(buffer.pending()).toBe(true)
    expect(buffer.cut()!.entry).toMatchObject({ firstOffset: 0, nextOffset: 7, counts: { ...ZERO_COUNTS, hole: 7 } })
  })

  test('a batch of control records alone is progress', () => {
    const buffer = createPartitionBuffer(START)
    buffer.advance(3)
    expect(buffer.cut()).toMatchObject({ rows: [], entry: { firstOffset: 0, nextOffset: 3 } })
  })
})
