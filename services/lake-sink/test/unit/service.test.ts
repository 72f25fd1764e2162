import type { CommitEvent } from '@mesh/shared/core/books'
import { formatMeshSrc, MAIN_LANE } from '@mesh/shared/core/coordinate'
import { bytesText, header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { COMMITS_TOPIC, rawTopic, refinedTopic, silverGroup, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersion, StreamVersions, VersionStatus } from '@mesh/shared/core/versions'
import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import type { Producer } from '@mesh/shared/kafka/port'
import { listChain } from '@mesh/shared/lake/chain'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { createTelemetry } from '@mesh/shared/runtime/telemetry'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import type { SchemaRegistry } from '@mesh/shared/schema/port'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { createMemoryObjectStore, type MemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { pointerKey } from '../../src/adapters/live-pointer.ts'
import { createMemoryBudget } from '../../src/core/memory-budget.ts'
import { createLakeSink } from '../../src/service.ts'
import { createLakeSinkTelemetry } from '../../src/telemetry.ts'

const AVSC = JSON.stringify({ type: 'record', name: 'Flight', fields: [{ name: 'n', type: 'int' }] })
const registry: SchemaRegistry = {
  schemaById: async () => AVSC,
  register: async () => 1,
  checkCompatible: async () => ({ compatible: true, reasons: [] }),
}
const codec = createAvroCodec(registry)
const STREAM = 'flights'
const SETTLE = { timeout: 50_000, interval: 5 }

let kafka: MemoryKafka
let producer: Producer
let store: MemoryObjectStore
let stopping: (() => Promise<void>)[] = []
beforeEach(async () => {
  kafka = createMemoryKafka()
  producer = await kafka.producer()
  store = createMemoryObjectStore()
  const topics = [COMMITS_TOPIC, VERSIONS_TOPIC, rawTopic(STREAM)]
  await kafka.admin.ensureTopics(topics.map((name) => ({ name, partitions: 1, config: {} })))
})
afterEach(async () => {
  for (const stop of stopping.splice(0).reverse()) await stop()
  await kafka.close()
  stopping = []
})

async function startSink(lake: ObjectStore = store): Promise<{ readiness: () => unknown; fatal: () => unknown }> {
  let fatal: unknown = null
  const budget = createMemoryBudget(1e9)
  const sink = createLakeSink({
    kafka,
    store: lake,
    registry,
    codec,
    publish: (event) => createCommitPublisher(producer).publish(event),
    limits: { maxRows: 100, maxBytes: 1e9, maxAgeMs: 20 },
    budget,
    now: () => performance.now(),
    newId: () => 'probe',
    telemetry: createLakeSinkTelemetry(createTelemetry('lake-sink'), SILENT_LOGGER, () => budget.held()),
    logger: SILENT_LOGGER,
    fatal: (error) => {
      fatal = error
    },
  })
  await sink.start()
  stopping.push(() => sink.stop())
  return { readiness: () => sink.readiness(), fatal: () => fatal }
}

const version = (number: number, status: VersionStatus): StreamVersion => ({
  version: number,
  status,
  bundles: [{ hash: `b${number}`, codeHash: `code${number}`, contractHash: 'contract', schemaId: 1, from: [] }],
  start: [],
  replay: null,
})

async function declare(epoch: number, live: number, versions: readonly StreamVersion[]): Promise<void> {
  const rawTopicId = (await kafka.admin.topicIds([rawTopic(STREAM)])).get(rawTopic(STREAM))!
  const state: StreamVersions = { stream: STREAM, epoch, live, rawTopicId, partitions: 1, versions, at: '' }
  const record = { partition: 0, key: textBytes(STREAM), value: textBytes(JSON.stringify(state)), headers: [] }
  await producer.send(VERSIONS_TOPIC, [record])
}

async function openRefined(number: number): Promise<void> {
  await kafka.admin.ensureTopics([{ name: refinedTopic(STREAM, number), partitions: 1, config: {} }])
}

const refined = (offset: number): RecordToSend => ({
  partition: 0,
  key: null,
  value: codec.encode(1, AVSC, { n: offset }),
  headers: [header('mesh-src', formatMeshSrc({ lane: MAIN_LANE, topicId: 'raw', partition: 0, offset, index: 0 }))],
})
const raw = (n: number): RecordToSend => ({ partition: 0, key: null, value: textBytes(`${n}`), headers: [] })

/** Rows of a layer in the lake. */
async function rows(layer: 'bronze' | 'silver', number: number): Promise<number> {
  const topic = layer === 'bronze' ? rawTopic(STREAM) : refinedTopic(STREAM, number)
  const topicId = (await kafka.admin.topicIds([topic])).get(topic)!
  let count = 0
  for await (const { footer } of listChain(store, { layer, stream: STREAM, version: number, topicId, partition: 0 })) {
    count += footer.rows
  }
  return count
}

const events = (): CommitEvent[] =>
  kafka.log(COMMITS_TOPIC, 0).map(({ value }) => JSON.parse(bytesText(value!)) as CommitEvent)

describe('lake sink', () => {
  it('follows mesh.versions: bronze for the stream, silver for every version until it is retired', async () => {
    const { readiness, fatal } = await startSink()
    await openRefined(1)
    await openRefined(2)
    await declare(0, 1, [version(1, 'live')])
    await producer.send(rawTopic(STREAM), [raw(0), raw(1), raw(2)])
    await producer.send(refinedTopic(STREAM, 1), [refined(0), refined(1)])
    await expect.poll(() => rows('bronze', 1), SETTLE).toBe(3)
    await expect.poll(() => rows('silver', 1), SETTLE).toBe(2)
    expect(await rows('silver', 2)).toBe(0)

    await declare(0, 1, [version(1, 'live'), version(2, 'candidate')])
    await producer.send(refinedTopic(STREAM, 2), [refined(0), refined(1), refined(2)])
    await expect.poll(() => rows('silver', 2), SETTLE).toBe(3)

    await declare(1, 2, [version(1, 'retired'), version(2, 'live')])
    const running = () => (readiness() as { detail: { running: string[] } }).detail.running
    await expect.poll(running, SETTLE).toHaveLength(2)
    await producer.send(refinedTopic(STREAM, 1), [refined(2)])
    await producer.send(refinedTopic(STREAM, 2), [refined(3)])
    await expect.poll(() => rows('silver', 2), SETTLE).toBe(4)
    expect(await rows('silver', 1)).toBe(2)
    await expect.poll(readiness, SETTLE).toMatchObject({ ready: true, detail: { failing: {} } })
    expect(fatal()).toBeNull()
  })

  it('announces each object with its books and the hashes of its code', async () => {
    await startSink()
    await openRefined(1)
    await declare(0, 1, [version(1, 'live')])
    await producer.send(rawTopic(STREAM), [raw(0)])
    await producer.send(refinedTopic(STREAM, 1), [refined(0), refined(0), refined(1)])
    const group = silverGroup(STREAM, 1)
    const committed = async () => (await kafka.admin.committed(group, refinedTopic(STREAM, 1))).get(0)?.offset
    await expect.poll(committed, SETTLE).toBe(3)
    await expect.poll(() => events().filter(({ layer }) => layer === 'bronze').length, SETTLE).toBe(1)
    const silver = events().findLast(({ layer }) => layer === 'silver')!
    expect(silver).toMatchObject({
      lane: 'main',
      nextOffset: 3,
      counts: { ok: 2, outputs: 2, redelivered: 1 },
      codeHash: 'code1',
      contractHash: 'contract',
    })
    expect(silver.bytes).toBe(store.objects.get(silver.objects[0]!)!.byteLength)
    expect(events().find(({ layer }) => layer === 'bronze')).toMatchObject({ codeHash: '', counts: { ok: 1 } })
  })

  it('points the lake at the live version of each epoch', async () => {
    await startSink()
    await openRefined(1)
    await declare(0, 1, [version(1, 'live')])
    const pointer = (epoch: number) => store.objects.get(pointerKey(STREAM, epoch))
    await expect.poll(() => pointer(0), SETTLE).toBeDefined()
    await declare(7, 3, [version(1, 'live')])
    await expect.poll(() => pointer(7), SETTLE).toBeDefined()
    expect(JSON.parse(bytesText(pointer(7)!))).toEqual({ stream: STREAM, epoch: 7, live: 3, at: '' })
  })

  it('is unready while a topic is missing, and its other tasks go on', async () => {
    const { readiness } = await startSink()
    await declare(0, 1, [version(1, 'live')])
    await producer.send(rawTopic(STREAM), [raw(0)])
    await expect.poll(() => rows('bronze', 1), SETTLE).toBe(1)
    await expect.poll(readiness, SETTLE).toMatchObject({
      ready: false,
      detail: { failing: { 'silver/flights/v1/b1': expect.any(String) } },
    })
  })

  it('ends when the raw topic is not the one that was applied', async () => {
    await declare(0, 1, [])
    kafka.recreate(rawTopic(STREAM))
    const { fatal } = await startSink()
    await expect.poll(fatal, SETTLE).toMatchObject({ code: 'MESH_KAFKA_TOPIC_RECREATED' })
    expect([...store.objects.keys()].filter((key) => key.startsWith('bronze/'))).toEqual([])
  })

  it('refuses to start on a store that ignores create-only', async () => {
    const ignoring: ObjectStore = { ...store, create: async () => 'created' }
    await expect(startSink(ignoring)).rejects.toMatchObject({ code: 'MESH_LAKE_STORE_UNSAFE' })
  })
})
