import { join } from 'node:path'
import type { Refine } from '@mesh/client/refine'
import type { Contract, JoinRule, OnMissing } from '@mesh/shared/core/contract'
import { formatMeshSrc, MAIN_LANE } from '@mesh/shared/core/coordinate'
import { header, type KafkaRecord, type RecordHeader, type RecordToSend } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { Producer, Progress, TransactionalProducer } from '@mesh/shared/kafka/port'
import { createAvroCodec, type FastAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createDedupeFolder } from '../../services/enricher/src/adapters/dedupe-folder.ts'
import { createJoinTables, type JoinTable } from '../../services/enricher/src/adapters/join-tables.ts'
import { createTableFolder } from '../../services/enricher/src/adapters/table-folder.ts'
import { createBodyCache } from '../../services/enricher/src/core/body-cache.ts'
import { openBooks } from '../../services/enricher/src/core/books.ts'
import { createDedupeStore, type DedupeStore } from '../../services/enricher/src/core/dedupe.ts'
import { createPublishedFates } from '../../services/enricher/src/core/fates.ts'
import { NO_JOINS } from '../../services/enricher/src/core/joins.ts'
import { createKeyedState, createMemoryKeyedStore } from '../../services/enricher/src/core/keyed-state.ts'
import { createMemoryBudget } from '../../services/enricher/src/core/memory-budget.ts'
import { createParkedIndex } from '../../services/enricher/src/core/parked.ts'
import { createPublishedReleases } from '../../services/enricher/src/core/published-releases.ts'
import { joinRecord } from '../../services/enricher/src/join-record.ts'
import { createPartitionWorker, type PartitionWorker } from '../../services/enricher/src/partition-worker.ts'
import {
  createAckedWriter,
  createTransactionalWriter,
  type TransactionalWriter,
} from '../../services/enricher/src/step-writer.ts'
import type { EnricherTelemetry } from '../../services/enricher/src/telemetry.ts'
import type { WorkerContext } from '../../services/enricher/src/worker-context.ts'

export const RAW_TOPIC_ID = '8f14e45f-ceea-467f-9f1b-0f2f9b1d2c3a'
export const CUSTOMERS = 5000
const START_MS = Date.UTC(2026, 0, 1)
const DAY_MS = 86_400_000
const TOPICS = { raw: 'raw', refined: 'refined', deadLetter: 'dead-letter', state: 'state' }

/** What one partition's worker is made of. */
export type WorkOptions = {
  readonly guarantee: 'at-least-once' | 'exactly-once'
  readonly dedupe: 'none' | 'memory' | 'disk'
  /** Joins every order to its customer. */
  readonly table: JoinTable | null
  readonly onMissing?: OnMissing
  /** Where the dedupe's segments lie. */
  readonly stateDir: string
  readonly maxParked?: number
  readonly maxParkedBytes?: number
  /** Default: the service's. */
  readonly parkedCacheBytes?: number
}

export type Work = {
  readonly worker: PartitionWorker
  /** Commits what the worker has done, as the consumer's loop does. */
  readonly commit: (nextOffset: number) => Promise<void>
  /** Records written to the refined topic and to the state topic. */
  readonly written: { readonly refined: number; readonly state: number }
  /** Bytes that the cache of parked records counts. */
  readonly parkedCacheBytes: () => number
  /** Bytes that the index of who waits counts. */
  readonly parkedIndexBytes: () => number
}

type Order = Readonly<Record<string, unknown>> & { readonly quantity: number; readonly unitPrice: number }

/** Thirteen fields out, one of them computed, one of them from the joined row where there is one. */
const refine: Refine<Order> = (event, { joins }) => ({
  kind: 'ok',
  outputs: [
    {
      record: {
        orderId: event['orderId'],
        customerId: event['customerId'],
        placedAt: event['placedAt'],
        status: event['status'],
        sku: event['sku'],
        quantity: event.quantity,
        unitPrice: event.unitPrice,
        total: event.quantity * event.unitPrice,
        currency: event['currency'],
        country: event['country'],
        city: joins['customer']?.['city'] ?? event['city'],
        channel: event['channel'],
        gift: event['gift'],
      },
    },
  ],
})

const ORDER_AVSC = JSON.stringify({
  type: 'record',
  name: 'BenchOrder',
  fields: [
    { name: 'orderId', type: 'string' },
    { name: 'customerId', type: 'long' },
    { name: 'placedAt', type: { type: 'long', logicalType: 'timestamp-millis' } },
    { name: 'status', type: { type: 'enum', name: 'Status', symbols: ['placed', 'paid', 'shipped'] } },
    { name: 'sku', type: 'string' },
    { name: 'quantity', type: 'int' },
    { name: 'unitPrice', type: 'double' },
    { name: 'total', type: 'double' },
    { name: 'currency', type: 'string' },
    { name: 'country', type: 'string' },
    { name: 'city', type: ['null', 'string'], default: null },
    { name: 'channel', type: 'string' },
    { name: 'gift', type: 'boolean' },
  ],
})
const CUSTOMER_AVSC = JSON.stringify({
  type: 'record',
  name: 'BenchCustomer',
  fields: [
    { name: 'id', type: 'long' },
    { name: 'city', type: 'string' },
  ],
})
const ORDER_SCHEMA = 1
const CUSTOMER_SCHEMA = 2

function createCodec(): FastAvroCodec {
  return createAvroCodec({ schemaById: async (id) => (id === ORDER_SCHEMA ? ORDER_AVSC : CUSTOMER_AVSC) })
}

function contractOf({ guarantee, dedupe, table, onMissing = 'null' }: WorkOptions): Contract {
  const join: JoinRule = { stream: 'customers', as: 'customer', on: '/customerId', onMissing }
  return {
    name: 'bench-orders',
    description: '',
    owner: '',
    key: ['/customerId'],
    eventId: '/orderId',
    eventTime: null,
    ingest: [{ kind: 'events', auth: 'api-key' }],
    validateAtIngest: false,
    raw: { partitions: 1, retentionMs: 7 * DAY_MS },
    refine: {
      schema: 'refined.avsc',
      guarantee,
      dedupeWindowMs: dedupe === 'none' ? 0 : DAY_MS,
      joins: table === null ? [] : [join],
      cleanup: 'delete',
      retentionMs: 7 * DAY_MS,
    },
    lake: { bronze: { format: 'parquet' }, silver: { format: 'parquet' } },
    warehouse: { table: 'BENCH_ORDERS', mode: 'append' },
  }
}

/** A raw record of about 300 bytes, as the gateway writes it. */
export function rawRecord(offset: number, customerId: number = offset % CUSTOMERS): KafkaRecord {
  const placedAt = new Date(START_MS + offset).toISOString()
  const order = {
    orderId: `order-${String(offset).padStart(9, '0')}`,
    customerId,
    placedAt,
    status: 'placed',
    sku: `SKU-${String(offset % 977).padStart(6, '0')}`,
    quantity: (offset % 5) + 1,
    unitPrice: 19.5 + (offset % 100) / 4,
    currency: 'EUR',
    country: 'DE',
    city: 'Frankfurt am Main',
    channel: 'web-shop',
    gift: offset % 7 === 0,
    note: 'leave with the neighbour on the second floor',
  }
  return {
    offset,
    timestamp: START_MS + offset,
    key: Buffer.from(String(customerId)),
    value: Buffer.from(JSON.stringify(order)),
    headers: [
      read('ce_specversion', '1.0'),
      read('ce_id', order.orderId),
      read('ce_source', '/v1/streams/bench-orders'),
      read('ce_type', 'bench-orders'),
      read('ce_time', placedAt),
      read('content-type', 'application/json'),
    ],
  }
}

/** Clients hand out what they read as Buffers. */
const read = (name: string, value: string): RecordHeader => ({ name, value: Buffer.from(value) })

/** The table of customers in its SQLite file, `rowMemory` bytes of its rows held decoded. */
export async function openCustomers(dir: string, rowMemory: number, rows: number = CUSTOMERS): Promise<JoinTable> {
  const codec = createCodec()
  const topicId = 'customers'
  const records = Array.from({ length: rows }, (_, id): KafkaRecord => {
    const src = formatMeshSrc({ lane: MAIN_LANE, topicId, partition: 0, offset: id, index: 0 })
    const value = codec.encode(CUSTOMER_SCHEMA, CUSTOMER_AVSC, { id, city: `City ${id % 40}` })
    const key = Buffer.from(String(id))
    return { offset: id, timestamp: START_MS, key, value, headers: [header(HEADER.src, src)] }
  })
  const tables = createJoinTables({
    kafka: {
      admin: {
        offsets: async () => [{ partition: 0, logStartOffset: 0, highWatermark: rows, lastStableOffset: rows }],
        topicIds: async (names) => new Map(names.map((name) => [name, topicId])),
      },
      followPartitions: () => Promise.reject(new Error('the measured table is held whole')),
      async follow(topic, { onBatch }) {
        await onBatch({ topic, topicId, partition: 0, firstOffset: 0, nextOffset: rows, records })
        return { caughtUp: Promise.resolve(), positions: () => new Map([[0, rows]]), stop: async () => {} }
      },
    },
    codec,
    openStore: createTableFolder(join(dir, 'tables')).open,
    budget: createMemoryBudget(rowMemory),
    wallClockMs: Date.now,
  })
  return tables.acquire({ stream: 'customers', version: 1, historyMs: null, partition: null })
}

/** A worker of one partition over a broker that acks at once and keeps nothing. */
export function openWork(options: WorkOptions): Work {
  const codec = createCodec()
  const contract = contractOf(options)
  const code = {
    codeHash: 'bench',
    codeHeader: header(HEADER.code, 'bench'),
    contractHash: 'bench',
    contract,
    refine: refine as Refine,
    encode: (record: unknown) => codec.encode(ORDER_SCHEMA, ORDER_AVSC, record),
  }
  const written = { refined: 0, state: 0 }
  const place = (topic: string, records: readonly RecordToSend[]): number[] => {
    if (topic === TOPICS.deadLetter) return records.map(() => 0)
    const kind = topic === TOPICS.refined ? 'refined' : 'state'
    const first = written[kind]
    written[kind] += records.length
    return Array.from(records, (_, i) => first + i)
  }
  const producer: Pick<Producer, 'send'> = { send: async (topic, records) => place(topic, records) }
  const transactional: TransactionalProducer = {
    committed: async () => null,
    transact: async ({ writes }) => writes.map(({ topic, records }) => place(topic, records)),
    close: async () => {},
  }
  const transactions: TransactionalWriter | null =
    options.guarantee === 'exactly-once' ? createTransactionalWriter(transactional, TOPICS) : null
  const writer = transactions ?? createAckedWriter(producer, TOPICS, { partition: 0, ends: { refined: 0, state: 0 } })
  const id = { stream: contract.name, version: 1, rawTopicId: RAW_TOPIC_ID, partition: 0 }
  const { table } = options
  const index = createParkedIndex()
  const bodies = createBodyCache(options.parkedCacheBytes ?? 33_554_432)
  const context: WorkerContext = {
    topics: TOPICS,
    group: 'bench',
    codeAt: () => code,
    join: (input) => (table === null ? NO_JOINS : joinRecord(input, (_rule, key) => table.find(key), noLookups)),
    prefetch: async () => {},
    publish: async () => {},
    limits: { maxChunkBytes: 700_000, maxOutputBytes: 4_000_000, maxTransactionBytes: 8_000_000 },
    parking: {
      maxRecords: options.maxParked ?? 100_000,
      maxIndexBytes: options.maxParkedBytes ?? Number.POSITIVE_INFINITY,
      retry: { initialMs: 1000, maxMs: 30_000, factor: 2, retries: Number.POSITIVE_INFINITY },
      read: async () => [],
    },
    wallClock: () => '2026-01-01T00:00:00Z',
    epochMs: () => START_MS,
    random: () => 0,
    telemetry: SILENT,
  }
  const worker = createPartitionWorker(
    {
      id,
      books: openBooks(0, 0),
      dedupe: dedupeOf(options, contract.refine.dedupeWindowMs),
      keyed: createKeyedState(createMemoryKeyedStore()),
      fates: createPublishedFates({ lane: MAIN_LANE, topicId: RAW_TOPIC_ID, partition: 0 }, 0),
      fatesEnd: 0,
      parked: {
        hasTopic: true,
        index,
        releases: createPublishedReleases(0),
        records: new Map(),
        stale: [],
        bodies: bodies.open(),
      },
      announced: null,
    },
    context,
    writer,
  )
  return {
    worker,
    written,
    parkedCacheBytes: () => bodies.bytes(),
    parkedIndexBytes: () => index.bytes(),
    async commit(nextOffset) {
      const progress: Progress = await worker.checkpoint(nextOffset)
      await transactions?.commit({ topic: TOPICS.raw, partition: 0 }, progress)
      await worker.announce()
    },
  }
}

function dedupeOf({ dedupe, stateDir }: WorkOptions, retainMs: number): DedupeStore {
  if (dedupe !== 'disk') return createDedupeStore(retainMs)
  const id = { stream: 'bench-orders', version: 1, rawTopicId: RAW_TOPIC_ID, partition: 0 }
  const budget = createMemoryBudget(268_435_456)
  const folder = createDedupeFolder({ dir: join(stateDir, 'dedupe'), segmentIds: 200_000, budget })
  const store = folder.open({ id, retainMs, identity: 'bench' })
  store.clear()
  return store
}

function noLookups(): never {
  throw new Error('the measured stream has no lookups')
}

const nothing = (): void => {}
const SILENT: EnricherTelemetry = {
  decided: nothing,
  deadLettered: nothing,
  duplicate: nothing,
  beyondHistory: nothing,
  joinWidened: nothing,
  checkpoint: nothing,
  erased: nothing,
  released: nothing,
  stalled: nothing,
  restored: nothing,
}
