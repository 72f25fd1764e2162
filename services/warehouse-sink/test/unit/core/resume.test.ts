import type { AssignedPartition } from '@mesh/shared/kafka/port'
import { expect, test } from 'vitest'
import { createPartitionBuffer } from '../../../src/core/partition-buffer.ts'
import type { LedgerEntry } from '../../../src/core/ports.ts'
import { resumeEntry } from '../../../src/core/resume.ts'
import { rowAt, TABLE } from '../rows.ts'

const ASSIGNED: AssignedPartition = {
  topic: 'refined.flights.v1',
  topicId: 't',
  partition: 0,
  committed: null,
  logStartOffset: 0,
  highWatermark: 100,
}

function entryAt(nextOffset: number, topicId: string): LedgerEntry {
  const buffer = createPartitionBuffer({ table: TABLE, topicId, partition: 0, entry: null, logStartOffset: 0 })
  buffer.accept(nextOffset - 1, rowAt(0), 1)
  return buffer.cut()!.entry
}

test('goes on from the ledger, whatever the group has committed', () => {
  const entry = entryAt(5, 't')
  expect(resumeEntry([entry], { ...ASSIGNED, committed: { offset: 99, metadata: '' } })).toBe(entry)
  expect(resumeEntry([], ASSIGNED)).toBeNull()
})

test('a topic created anew stops loudly: its offsets mean other records', () => {
  expect(() => resumeEntry([entryAt(5, 'older')], ASSIGNED)).toThrow(
    expect.objectContaining({ code: 'MESH_KAFKA_TOPIC_RECREATED' }),
  )
})

test('a ledger beyond the end of the topic stops loudly', () => {
  expect(() => resumeEntry([entryAt(101, 't')], ASSIGNED)).toThrow(
    expect.objectContaining({ code: 'MESH_KAFKA_OFFSET_OUT_OF_RANGE' }),
  )
})
