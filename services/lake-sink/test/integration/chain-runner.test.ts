import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { type CommitEvent, rawHash } from '@mesh/shared/core/books'
import { formatMeshSrc, MAIN_LANE } from '@mesh/shared/core/coordinate'
import { header, type RecordToSend } from '@mesh/shared/core/record'
import { bronzeGroup, rawTopic, refinedTopic, silverGroup } from '@mesh/shared/core/topics'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { type ChainFooter, listChain } from '@mesh/shared/lake/chain'
import type { ChainId } from '@mesh/shared/lake/chain-names'
import { createFolderObjectStore } from '@mesh/shared/lake/folder-object-store'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { createS3ObjectStore } from '@mesh/shared/lake/s3-object-store'
import type { Service } from '@mesh/shared/runtime/service'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { startVersitygw } from '@mesh/shared/testing/versitygw'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { createSilverSource } from '../../src/adapters/silver-source.ts'
import { type ChainTask, createChainRunner } from '../../src/chain-runner.ts'
import { createBronzeSource } from '../../src/core/bronze-source.ts'
import { chainCommitEvent, NO_CODE } from '../../src/core/commit-event.ts'
import { createMemoryBudget } from '../../src/core/memory-budget.ts'

const PARTITIONS = 2
const SETTLE = { timeout: 120_000, interval: 50 }

type Lake = { readonly store: ObjectStore; readonly folder: string; readonly close: () => Promise<void> }
type Counts = Record<string, unknown>

let kafka: KafkaPort
let producer: Producer
beforeAll(async () => {
  kafka = connectKafka({ brokers: inject('kafkaBrokers').split(','), clientId: 'lake-sink-test' })
  producer = await kafka.producer()
})
afterAll(async () => {
  await kafka?.close()
})

async function openFolder(): Promise<Lake> {
  const folder = await mkdtemp(path.join(tmpdir(), 'mesh-lake-'))
  return {
    store: createFolderObjectStore(folder),
    folder,
    close: () => rm(folder, { recursive: true, force: true, maxRetries: 10 }),
  }
}

async function openS3(): Promise<Lake> {
  const { settings, bucket, folder, close } = await startVersitygw()
  return { store: createS3ObjectStore({ ...settings, bucket, prefix: '' }), folder, close }
}

async function openTopic(name: string): Promise<string> {
  await kafka.admin.ensureTopics([{ name, partitions: PARTITIONS, config: {} }])
  return (await kafka.admin.topicIds([name])).get(name)!
}

function bronzeTask(stream: string, topicId: string): ChainTask {
  return {
    layer: 'bronze',
    stream,
    version: 1,
    topic: rawTopic(stream),
    groupId: bronzeGroup(stream),
    topicId,
    openSource: async (id) => createBronzeSource(id),
  }
}

type Run = { readonly runner: Service; readonly failed: Promise<unknown> }

/** `failAt`: the n-th create succeeds and its process never hears of it. */
function run(task: ChainTask, store: ObjectStore, options: { failAt?: number; events?: CommitEvent[] } = {}): Run {
  const failure = Promise.withResolvers<unknown>()
  let creates = 0
  const runner = createChainRunner({
    kafka,
    task,
    store: {
      ...store,
      async create(key, bytes) {
        const outcome = await store.create(key, bytes)
        if (++creates === options.failAt) throw new Error('the process dies after its create')
        return outcome
      },
    },
    limits: { maxRows: 150, maxBytes: 1e9, maxAgeMs: 200 },
    budget: createMemoryBudget(1e9),
    publish: async (link) => void options.events?.push(chainCommitEvent(link, NO_CODE, '')),
    now: () => performance.now(),
    telemetry: { flushed: () => {}, adopted: () => {}, hole: () => {}, projected: () => {} },
    tickMs: 20,
    onFatal: failure.resolve,
  })
  return { runner, failed: failure.promise }
}

async function untilCommitted({ groupId, topic }: ChainTask): Promise<void> {
  const lag = async (): Promise<number> => {
    const [committed, offsets] = await Promise.all([kafka.admin.committed(groupId, topic), kafka.admin.offsets(topic)])
    return offsets.reduce((sum, p) => sum + p.highWatermark - (committed.get(p.partition)?.offset ?? 0), 0)
  }
  await expect.poll(lag, SETTLE).toBe(0)
}

async function lastFooters(store: ObjectStore, id: Omit<ChainId, 'partition'>): Promise<ChainFooter[]> {
  const last: ChainFooter[] = []
  for (let partition = 0; partition < PARTITIONS; partition++) {
    for await (const { footer } of listChain(store, { ...id, partition })) last[partition] = footer
  }
  return last
}

async function query(sql: string): Promise<Counts[]> {
  const instance = await DuckDBInstance.create()
  const connection = await instance.connect()
  try {
    await connection.run("set timezone = 'UTC'")
    return (await connection.runAndReadAll(sql)).getRowObjects()
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

function rawRecord(n: number): RecordToSend {
  return {
    partition: n % PARTITIONS,
    key: n % 7 === 0 ? null : Buffer.from(`key-${n % 13}`),
    value: n % 11 === 0 ? null : Buffer.from(n % 5 === 0 ? '' : `value ${n}`),
    headers: [
      header('ce_id', `event-${n}`),
      { name: 'empty', value: new Uint8Array(0) },
      { name: 'null', value: null },
    ],
    timestamp: 1_700_000_000_000 + n,
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

describe.each([
  ['a folder', openFolder],
  ['S3', openS3],
] as const)('bronze in %s', (_name, open) => {
  it('holds every raw record once, though processes die after their creates and members come and go', async () => {
    const stream = `lake-${randomUUID().slice(0, 8)}`
    const topic = rawTopic(stream)
    const topicId = await openTopic(topic)
    const task = bronzeTask(stream, topicId)
    const lake = await open()
    const events: CommitEvent[] = []
    try {
      for (const [round, failAt] of [1, 2, 1, 2].entries()) {
        await producer.send(topic, range(round * 100, round * 100 + 100).map(rawRecord))
        const { runner, failed } = run(task, lake.store, { failAt, events })
        await runner.start()
        await failed
        await runner.stop()
      }
      const first = run(task, lake.store, { events })
      await first.runner.start()
      await producer.send(topic, range(400, 700).map(rawRecord))
      const second = run(task, lake.store, { events })
      await second.runner.start()
      await producer.send(topic, range(700, 1_000).map(rawRecord))
      await first.runner.stop()
      await producer.send(topic, range(1_000, 1_200).map(rawRecord))
      await untilCommitted(task)
      await second.runner.stop()

      const last = await lastFooters(lake.store, task as ChainTask & { topicId: string })
      expect(last.map(({ nextOffset, counts }) => [nextOffset, counts.ok])).toEqual([
        [600, 600],
        [600, 600],
      ])
      const expected = range(0, 1_200).map(rawRecord)
      for (const [partition, { hash }] of last.entries()) {
        const own = expected.filter((record) => record.partition === partition)
        const sum = own.reduce((total, record, offset) => total + rawHash({ topicId, partition, offset }, record), 0n)
        expect(hash).toBe((sum & ((1n << 128n) - 1n)).toString(16).padStart(32, '0'))
      }
      const files = `read_parquet('${lake.folder}/bronze/${stream}/*/*/*.parquet')`
      const [count] = await query(`select count(*) as n, count(distinct (partition, "offset")) as places,
        count(key) as keys, count(value) as present, count(*) filter (where octet_length(value) = 0) as empty,
        min(epoch_ms(timestamp)) as oldest from ${files}`)
      const present = expected.filter(({ value }) => value !== null)
      expect(count).toEqual({
        n: 1_200n,
        places: 1_200n,
        keys: BigInt(expected.filter(({ key }) => key !== null).length),
        present: BigInt(present.length),
        empty: BigInt(present.filter(({ value }) => value!.byteLength === 0).length),
        oldest: 1_700_000_000_000n,
      })
      const announced = new Map(events.map((event) => [`${event.partition}/${event.nextOffset}`, event.hash]))
      for (const { partition, nextOffset, hash } of last) expect(announced.get(`${partition}/${nextOffset}`)).toBe(hash)
    } finally {
      await lake.close()
    }
    // The first time the S3 server is built.
  }, 600_000)
})

describe('silver', () => {
  it('holds one typed row per refined record, and none for those that came again', async () => {
    const stream = `lake-${randomUUID().slice(0, 8)}`
    const topic = refinedTopic(stream, 2)
    const topicId = await openTopic(topic)
    const registry = createSchemaRegistry({ url: inject('registryUrl') })
    const codec = createAvroCodec(registry)
    const money = { type: 'bytes', logicalType: 'decimal', precision: 12, scale: 2 }
    const fields = [
      { name: 'id', type: 'long' },
      { name: 'price', type: money },
    ]
    const avsc = JSON.stringify({ type: 'record', name: 'Sale', fields })
    const schemaId = await registry.register(`${topic}-value`, avsc)
    const refined = (n: number): RecordToSend => ({
      partition: n % PARTITIONS,
      key: Buffer.from(`${n}`),
      value: n % 10 === 9 ? null : codec.encode(schemaId, avsc, { id: n, price: `${n}.25` }),
      headers: [
        header('ce_time', new Date(1_700_000_000_000 + n).toISOString()),
        header(
          'mesh-src',
          formatMeshSrc({ lane: MAIN_LANE, topicId: 'raw', partition: n % PARTITIONS, offset: n, index: 0 }),
        ),
      ],
    })
    const task: ChainTask = {
      ...bronzeTask(stream, topicId),
      layer: 'silver',
      version: 2,
      topic,
      groupId: silverGroup(stream, 2),
      topicId: null,
      openSource: () => createSilverSource({ registry, codec, version: 2, schemaIds: [schemaId] }),
    }
    const lake = await openFolder()
    try {
      await producer.send(topic, [...range(0, 300), ...range(100, 300), ...range(250, 500)].map(refined))
      const dying = run(task, lake.store, { failAt: 2 })
      await dying.runner.start()
      await dying.failed
      await dying.runner.stop()
      const { runner } = run(task, lake.store)
      await runner.start()
      await untilCommitted(task)
      await runner.stop()

      const last = await lastFooters(lake.store, { ...task, topicId })
      expect(last.reduce((sum, { counts }) => sum + counts.redelivered, 0)).toBe(250)
      const files = `read_parquet('${lake.folder}/silver/${stream}/v2/*/*/*.parquet')`
      const [count] = await query(`select count(*) as n, count(distinct _offset) as sources, sum(id) as ids,
        sum(price)::varchar as price, count(*) filter (where _op = 'delete') as deletes from ${files}`)
      const upserts = range(0, 500).filter((n) => n % 10 !== 9)
      const ids = upserts.reduce((sum, n) => sum + n, 0)
      expect(count).toEqual({
        n: 500n,
        sources: 500n,
        ids: BigInt(ids),
        price: (ids + upserts.length * 0.25).toFixed(2),
        deletes: 50n,
      })
    } finally {
      await lake.close()
    }
  })
})
