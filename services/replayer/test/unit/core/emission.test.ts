import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { headerText, type RecordBatch, type RecordToSend } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { type EmissionPorts, emitHistory } from '../../../src/core/emission.ts'
import { newJob } from '../../../src/core/job-state.ts'
import { makePlan } from '../../../src/core/plan.ts'
import { UNLIMITED } from '../../../src/core/token-bucket.ts'

const END = 10

function batch(from: number, to: number): RecordBatch {
  const records = Array.from({ length: to - from }, (_, i) => ({
    offset: from + i,
    timestamp: 1,
    key: null,
    value: null,
    headers: [],
  }))
  return { topic: 'raw.s.v1', topicId: 'id', partition: 0, firstOffset: from, nextOffset: to, records }
}

/** Emits [0, 10) out of a log that is delivered as the test says. */
async function emit(
  deliveries: readonly RecordBatch[],
  of: { readonly last?: number; readonly rawId?: string } = {},
): Promise<number[]> {
  const sent: RecordToSend[] = []
  const left = [...deliveries]
  const ports: EmissionPorts = {
    lakeReads: 1,
    history: {
      lakeCover: async () => ({ nextOffset: 0, holes: [] }),
      async *readLake() {},
      logOffsetsAtTime: async () => new Map(),
      async readLog(_topic, _ranges, onBatch) {
        for (let next = left.shift(); next; next = left.shift()) await onBatch(next)
      },
    },
    topics: {
      configure: () => Promise.reject(new Error('not asked for')),
      ensure: async () => [],
      ids: async () => new Map([['raw.s.v1', of.rawId ?? 'id']]),
      partitionCount: async () => 1,
      offsets: async () => [{ partition: 0, logStartOffset: 0, highWatermark: END, lastStableOffset: END }],
    },
    replayTopic: {
      lastSources: async () => [of.last ?? null],
      send: async (_topic, records) => void sent.push(...records),
    },
  }
  const facts = { partition: 0, logStartOffset: 0, end: END, lake: { nextOffset: 0, holes: [] } }
  const plan = makePlan({}, [{ ...facts, fromAtTime: null, toAtTime: null }], { rawTopicId: 'id', bundle: 'b' })
  const job = newJob({ id: 'j', stream: 's', version: 2, plan, recordsPerSecond: null, at: 't' })
  const signal = new AbortController().signal
  await emitHistory(job, ports, { limit: UNLIMITED, signal, onChunk: async () => {} })
  return sent.map((record) => parseMeshSrc(headerText(record.headers, 'mesh-src')!).offset)
}

const span = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

describe('emitHistory', () => {
  test('a reader that begins its range again does not take the replay back', async () => {
    expect(await emit([batch(0, 6), batch(0, 4), batch(4, 8), batch(8, END)])).toEqual(span(0, END))
  })

  test('begins after the last source of the replay topic', async () => {
    expect(await emit([batch(0, 5), batch(5, END)], { last: 6 })).toEqual(span(7, END))
    expect(await emit([], { last: END - 1 })).toEqual([])
  })

  test('offsets at the end without a record are passed over', async () => {
    expect(await emit([batch(0, 7), { ...batch(7, 7), nextOffset: END }])).toEqual(span(0, 7))
  })

  test('a raw topic that was made anew ends it, before and while it is read', async () => {
    await expect(emit([batch(0, END)], { rawId: 'other' })).rejects.toMatchObject({
      code: 'MESH_KAFKA_TOPIC_RECREATED',
    })
    await expect(emit([{ ...batch(0, END), topicId: 'other' }])).rejects.toMatchObject({
      code: 'MESH_KAFKA_TOPIC_RECREATED',
    })
  })
})
