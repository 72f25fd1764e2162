import { Reader, readRecordsBatch } from '@platformatic/kafka'
import { describe, expect, it } from 'vitest'
import { header, type RecordToSend, textBytes } from '../../../src/core/record.ts'
import { type BatchOptions, encodeRecordBatch } from '../../../src/kafka/record-batch.ts'

const OPTIONS: BatchOptions = {
  producerId: 4711n,
  producerEpoch: 3,
  firstSequence: 2 ** 31 - 1,
  compression: 'none',
  now: 1_767_000_000_000,
}
const COMPRESSIONS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

const record = (more: Partial<RecordToSend> = {}): RecordToSend => ({
  partition: 0,
  key: textBytes('k'),
  value: textBytes('v'),
  headers: [],
  ...more,
})

describe.each(COMPRESSIONS)('a record batch with %s', (compression) => {
  it('is read back by another implementation, field by field', () => {
    const records = [
      record({ key: null, value: null, timestamp: 0 }),
      record({
        key: new Uint8Array(),
        value: new Uint8Array(),
        timestamp: 1_600_000_000_123,
        headers: [
          header('b', '1'),
          { name: 'a', value: null },
          { name: 'a', value: new Uint8Array() },
          header('b', '2'),
          header('ä'.repeat(70), 'ö'),
        ],
      }),
      record({ value: textBytes('x'.repeat(100_000)) }),
    ]
    const batch = readRecordsBatch(Reader.from(encodeRecordBatch(records, { ...OPTIONS, compression })))
    expect(batch).toMatchObject({
      firstOffset: 0n,
      partitionLeaderEpoch: -1,
      magic: 2,
      lastOffsetDelta: 2,
      firstTimestamp: 0n,
      maxTimestamp: 1_767_000_000_000n,
      producerId: 4711n,
      producerEpoch: 3,
      firstSequence: 2 ** 31 - 1,
    })
    expect(batch.records.map((r) => [r.offsetDelta, Number(r.timestampDelta)])).toEqual([
      [0, 0],
      [1, 1_600_000_000_123],
      [2, 1_767_000_000_000],
    ])
    const [nothing, empty, large] = batch.records
    expect([nothing!.key, nothing!.value]).toEqual([null, null])
    expect([empty!.key?.length, empty!.value?.length, large!.value?.length]).toEqual([0, 0, 100_000])
    expect(empty!.headers.map(([name, value]) => [String(name), value === null ? null : String(value)])).toEqual([
      ['b', '1'],
      ['a', null],
      ['a', ''],
      ['b', '2'],
      ['ä'.repeat(70), 'ö'],
    ])
  })
})

it('keeps timestamps that go back and lengths at every size of a variable-length number', () => {
  const lengths = [0, 1, 63, 64, 8191, 8192, 1_048_575, 1_048_576]
  const records = lengths.map((length, i) =>
    record({ value: new Uint8Array(length).fill(i), timestamp: 2 ** 41 - i * 2 ** 37 }),
  )
  const batch = readRecordsBatch(Reader.from(encodeRecordBatch(records, OPTIONS)))
  expect(batch.records.map(({ value }) => value?.length)).toEqual(lengths)
  expect(batch.records.map(({ timestampDelta }) => Number(timestampDelta))).toEqual(
    lengths.map((_, i) => -i * 2 ** 37 || 0),
  )
  expect(batch.maxTimestamp).toBe(BigInt(2 ** 41))
})
