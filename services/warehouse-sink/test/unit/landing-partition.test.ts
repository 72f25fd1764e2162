import { expect, test } from 'vitest'
import { createPartitionBuffer } from '../../src/core/partition-buffer.ts'
import type { LandingStep } from '../../src/core/ports.ts'
import { createFlusher } from '../../src/flusher.ts'
import { createLandingPartition } from '../../src/landing-partition.ts'
import { readTestRow } from './landing-world.ts'
import { refinedRecord, TABLE } from './rows.ts'
import { SILENT_TELEMETRY } from './silent-telemetry.ts'

function setUp(maxRows: number) {
  const writes: (readonly LandingStep[])[] = []
  const flusher = createFlusher({
    warehouse: {
      write: async (steps) => void writes.push(steps),
      prepare: async () => {},
      ledger: async () => [],
      project: async () => {},
    },
    limits: { maxRows, maxBytes: 1e9, maxAgeMs: 100 },
    now: () => 0,
    telemetry: SILENT_TELEMETRY,
  })
  const partition = (p: number) =>
    createLandingPartition({
      buffer: createPartitionBuffer({ table: TABLE, topicId: 't', partition: p, entry: null, logStartOffset: 0 }),
      flusher,
      readRow: async (record) => readTestRow(record),
      publish: async () => {},
      telemetry: SILENT_TELEMETRY,
      stream: 'flights',
      uncommitted: null,
    })
  return { partition, writes }
}

const batchOf = (partition: number, records: number) => ({
  topic: 'refined.flights.v1',
  topicId: 't',
  partition,
  firstOffset: 0,
  nextOffset: records,
  records: Array.from({ length: records }, (_, i) => refinedRecord(i, partition, i)),
})

test('no offset is handed over before its rows are written', async () => {
  const { partition, writes } = setUp(100)
  const handler = partition(0)
  expect(await handler.process(batchOf(0, 5))).toBeNull()
  expect(await handler.tick!()).toBeNull()
  expect(await handler.close!('revoked')).toEqual({ nextOffset: 5, metadata: '' })
  expect(writes[0]![0]!.rows).toHaveLength(5)
})

test('a batch larger than the buffers is written in parts: memory stays within its limit', async () => {
  const { partition, writes } = setUp(10)
  expect(await partition(0).process(batchOf(0, 25))).toEqual({ nextOffset: 20, metadata: '' })
  expect(writes.map((steps) => steps[0]!.rows.length)).toEqual([10, 10])
})

test('a flush that one partition sets off hands over the offsets of the others at their next turn', async () => {
  const { partition } = setUp(10)
  const [quiet, busy] = [partition(0), partition(1)]
  expect(await quiet.process(batchOf(0, 3))).toBeNull()
  expect(await busy.process(batchOf(1, 7))).toMatchObject({ nextOffset: 7 })
  expect(await quiet.tick!()).toMatchObject({ nextOffset: 3 })
  expect(await quiet.tick!()).toBeNull()
})
