import type { RecordBatch } from '@mesh/shared/core/record'
import type { PartitionRange } from '@mesh/shared/kafka/port'
import { describe, expect, test } from 'vitest'
import { createRangeReader } from '../../../src/adapters/range-reader.ts'

function recorder(fail: Error | null = null) {
  const reads: (readonly PartitionRange[])[] = []
  const open: (() => void)[] = []
  const read = createRangeReader({
    async readRanges(topic, ranges, onBatch) {
      reads.push(ranges)
      await new Promise<void>((resolve) => open.push(resolve))
      if (fail) throw fail
      for (const { partition, from, to } of ranges) {
        await onBatch({ topic, topicId: 't', partition, firstOffset: from, nextOffset: to, records: [] })
      }
    },
  })
  return { read, reads, open }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))
const range = (partition: number): PartitionRange => ({ partition, from: 0, to: 10 })

describe('range reader', () => {
  test('requests made at the same time share a read, later ones the next', async () => {
    const { read, reads, open } = recorder()
    const got: number[] = []
    const take = (batch: RecordBatch) => void got.push(batch.partition)
    const first = [read('t', [range(0)], take), read('t', [range(1)], take)]
    await turn()
    const later = [read('t', [range(2)], take), read('t', [range(3)], take)]
    await turn()
    expect(reads).toEqual([[range(0), range(1)]])
    open.shift()!()
    await Promise.all(first)
    await turn()
    expect(reads[1]).toEqual([range(2), range(3)])
    open.shift()!()
    await Promise.all(later)
    expect(got).toEqual([0, 1, 2, 3])
  })

  test('two requests for one partition are two reads, in order', async () => {
    const { read, reads, open } = recorder()
    const seen: string[] = []
    const both = [read('t', [range(0)], () => void seen.push('a')), read('t', [range(0)], () => void seen.push('b'))]
    await turn()
    open.shift()!()
    await both[0]
    await turn()
    open.shift()!()
    await both[1]
    expect([reads.length, seen]).toEqual([2, ['a', 'b']])
  })

  test('a failed read fails those who shared it, and the next one starts anew', async () => {
    const { read, open } = recorder(new Error('no broker'))
    const failing = [read('t', [range(0)], () => {}), read('t', [range(1)], () => {})]
    await turn()
    open.shift()!()
    const results = await Promise.allSettled(failing)
    expect(results.map((result) => result.status)).toEqual(['rejected', 'rejected'])
    const again = read('t', [range(0)], () => {})
    await turn()
    await turn()
    open.shift()!()
    await expect(again).rejects.toThrow('no broker')
  })
})
