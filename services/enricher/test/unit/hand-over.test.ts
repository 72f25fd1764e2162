import type { RecordBatch } from '@mesh/shared/core/record'
import { expect, test } from 'vitest'
import type { Stall } from '../../src/core/stall.ts'
import { createRawHandler } from '../../src/handlers.ts'
import type { PartitionWorker } from '../../src/partition-worker.ts'

const PACE = { commitIntervalMs: 0, tickMs: 10, now: () => 0, random: () => 0 }
const FLOW = { pause: () => {}, resume: () => {}, stalled: () => {} }
const FULL: Stall = { kind: 'parked-full', records: 1 }

test('a raw partition that stalls at once is not committed where the replay topic ended', async () => {
  let position = 11
  const worker: Partial<PartitionWorker> = {
    position: () => position,
    run: async () => FULL,
    checkpoint: async (nextOffset) => ({ nextOffset, metadata: '' }),
  }
  const handler = createRawHandler(worker as PartitionWorker, PACE, { flow: FLOW, position: 7 })
  const batch: RecordBatch = {
    topic: 'raw.orders.v1',
    topicId: 'id',
    partition: 0,
    firstOffset: 7,
    nextOffset: 12,
    records: [],
  }
  expect(await handler.process(batch)).toBeNull()
  position = 8
  expect(await handler.process({ ...batch, firstOffset: 12, nextOffset: 14 })).toEqual({ nextOffset: 8, metadata: '' })
})
