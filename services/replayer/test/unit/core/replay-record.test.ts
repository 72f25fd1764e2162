import type { KafkaRecord, RecordBatch } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { CHUNK_BYTES, chunksOf } from '../../../src/core/replay-record.ts'

const record = (offset: number, bytes = 1): KafkaRecord => ({
  offset,
  timestamp: 1,
  key: null,
  value: new Uint8Array(bytes),
  headers: [],
})
const batch = (records: readonly KafkaRecord[], nextOffset: number): RecordBatch => ({
  topic: 'raw.s.v1',
  topicId: 'id',
  partition: 0,
  firstOffset: 0,
  nextOffset,
  records,
})
const cut = (of: RecordBatch, from = 0, maxRecords = Number.POSITIVE_INFINITY): [number, number][] =>
  [...chunksOf(of, { from, job: 'j', maxRecords })].map(({ records, nextOffset }) => [records.length, nextOffset])

describe('chunksOf', () => {
  test('cuts by bytes, and a record larger than a chunk goes alone', () => {
    const third = Math.ceil(CHUNK_BYTES / 3)
    const records = [record(0, third), record(1, third), record(2, third), record(5, CHUNK_BYTES * 2), record(6)]
    expect(cut(batch(records, 9))).toEqual([
      [2, 2],
      [1, 5],
      [1, 6],
      [1, 9],
    ])
  })

  test('cuts by records', () => {
    expect(
      cut(
        batch(
          [0, 1, 2, 3, 4].map((offset) => record(offset)),
          5,
        ),
        0,
        2,
      ),
    ).toEqual([
      [2, 2],
      [2, 4],
      [1, 5],
    ])
  })

  test('leaves out what was emitted before', () => {
    expect(cut(batch([record(0), record(1), record(2)], 3), 2)).toEqual([[1, 3]])
  })

  test('moves over offsets without a record', () => {
    expect(cut(batch([], 40))).toEqual([[0, 40]])
  })
})
