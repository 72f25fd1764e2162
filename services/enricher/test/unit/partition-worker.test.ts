import { deadLetter, drop, ok, type Refine } from '@mesh/client/refine'
import type { CommitEvent } from '@mesh/shared/core/books'
import type { RecordBatch, RecordToSend } from '@mesh/shared/core/record'
import { textBytes } from '@mesh/shared/core/record'
import type { Producer } from '@mesh/shared/kafka/port'
import { describe, expect, test } from 'vitest'
import { createBodyCache } from '../../src/core/body-cache.ts'
import { openBooks } from '../../src/core/books.ts'
import { createDedupeStore } from '../../src/core/dedupe.ts'
import { createPublishedFates } from '../../src/core/fates.ts'
import { NO_JOINS } from '../../src/core/joins.ts'
import { createKeyedState, createMemoryKeyedStore } from '../../src/core/keyed-state.ts'
import { createParkedIndex } from '../../src/core/parked.ts'
import { createPublishedReleases } from '../../src/core/published-releases.ts'
import { rawSources } from '../../src/core/replayed.ts'
import { createPartitionWorker } from '../../src/partition-worker.ts'
import { createAckedWriter } from '../../src/step-writer.ts'
import type { WorkerContext } from '../../src/worker-context.ts'
import { contractOf } from '../contract.ts'
import { SILENT_TELEMETRY, TEST_LIMITS, testParking } from '../process.ts'

const ID = { stream: 'orders', version: 1, rawTopicId: 'raw-1', partition: 0 }
const SEQUENCE = { lane: 'main', topicId: 'raw-1', partition: 0 }

/** A producer whose acks are given by hand. */
function gatedProducer() {
  const waiting: { topic: string; records: readonly RecordToSend[]; ack: () => void; fail: (error: Error) => void }[] =
    []
  let next = 0
  const producer: Pick<Producer, 'send'> = {
    send: (topic, records) =>
      new Promise((resolve, reject) => {
        waiting.push({ topic, records, ack: () => resolve(records.map(() => next++)), fail: reject })
      }),
  }
  return { producer, waiting }
}

function workerOf(
  producer: Pick<Producer, 'send'>,
  refine: Refine,
  { maxChunkBytes = 700_000, published = [] as CommitEvent[] } = {},
) {
  const state = {
    id: ID,
    books: openBooks(0, 0),
    dedupe: createDedupeStore(0),
    keyed: createKeyedState(createMemoryKeyedStore()),
    fates: createPublishedFates(SEQUENCE, 0),
    fatesEnd: 0,
    parked: {
      hasTopic: true,
      index: createParkedIndex(),
      releases: createPublishedReleases(0),
      records: new Map(),
      stale: [],
      bodies: createBodyCache(10_000).open(),
    },
    announced: null,
  }
  const code = {
    codeHash: 'c',
    codeHeader: { name: 'mesh-code', value: textBytes('c') },
    contractHash: 'd',
    contract: contractOf({ refineWith: { dedupeWindowMs: 0 } }),
    refine,
    encode: (record: unknown) => textBytes(`\0\0\0\0\u0001${JSON.stringify(record)}`),
  }
  const topics = { raw: 'raw', refined: 'refined', deadLetter: 'dead', state: 'state' }
  const context: WorkerContext = {
    topics,
    group: 'g',
    codeAt: () => code,
    join: () => NO_JOINS,
    prefetch: async () => {},
    publish: async (event) => void published.push(event),
    limits: { ...TEST_LIMITS, maxChunkBytes },
    parking: { ...testParking(), read: async () => [] },
    wallClock: () => '',
    epochMs: () => 0,
    random: () => 0,
    telemetry: SILENT_TELEMETRY,
  }
  return createPartitionWorker(
    state,
    context,
    createAckedWriter(producer, topics, { partition: 0, ends: { refined: 0, state: 0 } }),
  )
}

function batchOf(count: number): RecordBatch {
  const records = Array.from({ length: count }, (_, offset) => ({
    offset,
    timestamp: offset,
    key: textBytes('k'),
    value: textBytes(`{"n":${offset}}`),
    headers: [],
  }))
  return { topic: 'raw', topicId: 'raw-1', partition: 0, firstOffset: 0, nextOffset: count, records }
}

/** Lets everything that can go on without an ack go on. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

describe('partition worker', () => {
  test('is done only when every output and every dead letter is acked', async () => {
    const { producer, waiting } = gatedProducer()
    const worker = workerOf(producer, (event) =>
      (event as { n: number }).n % 2 === 0 ? ok({ n: 1 }) : deadLetter('ODD', 'odd'),
    )
    let done = false
    const running = worker.run(rawSources(batchOf(4)), 4).then(() => {
      done = true
    })
    const acked: string[] = []
    for (const expected of ['refined', 'dead']) {
      await settle()
      expect(done).toBe(false)
      expect(waiting.map((send) => send.topic)).toEqual([expected])
      acked.push(expected)
      waiting.shift()!.ack()
    }
    await running
    expect(acked).toEqual(['refined', 'dead'])
  })

  test('sends one chunk at a time, so a lost one is never followed by a later one', async () => {
    const { producer, waiting } = gatedProducer()
    const worker = workerOf(producer, () => ok([{ record: { n: 1 } }, { record: { n: 2 } }]), { maxChunkBytes: 700 })
    const running = worker.run(rawSources(batchOf(20)), 20)
    const sent: string[] = []
    for (let i = 0; i < 4; i++) {
      await settle()
      expect(waiting).toHaveLength(1)
      const { records, ack } = waiting.shift()!
      expect(records.length % 2).toBe(0)
      sent.push(...records.map((r) => Buffer.from(r.headers.find((h) => h.name === 'mesh-src')!.value!).toString()))
      ack()
    }
    await settle()
    waiting.shift()!.fail(new Error('unknown outcome'))
    await expect(running).rejects.toThrow('unknown outcome')
    expect(waiting).toEqual([])
    expect(sent).toEqual(sent.map((_, i) => `main;raw-1;0;${Math.floor(i / 2)};${i % 2}`))
  })

  test('an output written below the known end means that the refined topic is another one', async () => {
    const worker = workerOf({ send: async (_topic, records) => records.map(() => 0) }, () => ok({ n: 1 }))
    await worker.run(rawSources(batchOf(1)), 1)
    const next = { ...batchOf(2), firstOffset: 1 }
    await expect(worker.run(rawSources({ ...next, records: next.records.slice(1) }), 2)).rejects.toMatchObject({
      code: 'MESH_KAFKA_TOPIC_RECREATED',
    })
  })

  test('a checkpoint is announced once, after its commit', async () => {
    const published: CommitEvent[] = []
    const worker = workerOf(gatedProducer().producer, () => drop('x'), { published })
    await worker.run(rawSources(batchOf(3)), 3)
    expect(JSON.parse((await worker.checkpoint(3)).metadata)).toMatchObject({
      v: 1,
      sourceNext: 3,
      counts: { drop: 3 },
    })
    expect(published).toEqual([])
    await worker.announce()
    await worker.announce()
    expect(published).toMatchObject([{ firstOffset: 0, nextOffset: 3, counts: { drop: 3 } }])
  })
})
