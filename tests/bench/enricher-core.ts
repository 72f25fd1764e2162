/**
 * Records a second of CPU that the enricher's own work takes, without a broker: decode, deduplicate, join, refine, encode, hash, book.
 * Raw records lie in memory, outputs go to a sink that only counts. `node tests/bench/enricher-core.ts [--records N] [--repeats N]`.
 */
import { parseArgs } from 'node:util'
import type { Refine } from '@mesh/client/refine'
import type { Contract } from '@mesh/shared/core/contract'
import { header, type KafkaRecord, type RecordToSend } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { openBooks } from '../../services/enricher/src/core/books.ts'
import { createDedupeStore } from '../../services/enricher/src/core/dedupe.ts'
import { createPublishedFates } from '../../services/enricher/src/core/fates.ts'
import type { JoinedRow } from '../../services/enricher/src/core/joins.ts'
import { rawSources } from '../../services/enricher/src/core/replayed.ts'
import { createPartitionWorker, type PartitionWorker } from '../../services/enricher/src/partition-worker.ts'
import { median } from './table.ts'

const BATCH = 1000
const TOPIC_ID = '8f14e45f-ceea-467f-9f1b-0f2f9b1d2c3a'
const START_MS = Date.UTC(2026, 0, 1)
const DAY_MS = 86_400_000

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

const AVSC = JSON.stringify({
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

type Variant = { readonly name: string; readonly dedupe: boolean; readonly join: boolean }
const VARIANTS: readonly Variant[] = [
  { name: 'refine', dedupe: false, join: false },
  { name: 'refine, dedupe', dedupe: true, join: false },
  { name: 'refine, dedupe, one join', dedupe: true, join: true },
]

function contractOf({ dedupe, join }: Variant): Contract {
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
      guarantee: 'at-least-once',
      dedupeWindowMs: dedupe ? DAY_MS : 0,
      joins: join ? [{ stream: 'customers', as: 'customer', on: '/customerId', onMissing: 'null' }] : [],
      cleanup: 'delete',
      retentionMs: 7 * DAY_MS,
    },
    lake: { bronze: { format: 'parquet' }, silver: { format: 'parquet' } },
    warehouse: { table: 'BENCH_ORDERS', mode: 'append' },
  }
}

/** Raw records of about 300 bytes, as the gateway writes them. */
function rawRecords(count: number): KafkaRecord[] {
  return Array.from({ length: count }, (_, offset) => {
    const placedAt = new Date(START_MS + offset).toISOString()
    const order = {
      orderId: `order-${String(offset).padStart(9, '0')}`,
      customerId: offset % 5000,
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
      key: Buffer.from(String(order.customerId)),
      value: Buffer.from(JSON.stringify(order)),
      headers: [
        header('ce_specversion', '1.0'),
        header('ce_id', order.orderId),
        header('ce_source', '/v1/streams/bench-orders'),
        header('ce_type', 'bench-orders'),
        header('ce_time', placedAt),
        header('content-type', 'application/json'),
      ],
    }
  })
}

function createWorker(variant: Variant): { worker: PartitionWorker; outputs: () => number } {
  const codec = createAvroCodec({ schemaById: () => Promise.resolve(AVSC) })
  const contract = contractOf(variant)
  const code = {
    codeHash: 'bench',
    codeHeader: header(HEADER.code, 'bench'),
    contractHash: 'bench',
    contract,
    refine: refine as Refine,
    encode: (record: unknown) => codec.encode(1, AVSC, record),
  }
  const rows = new Map<string, JoinedRow>()
  for (let i = 0; i < 5000; i++) {
    rows.set(String(i), { record: Object.freeze({ id: i, city: `City ${i % 40}` }), src: `main;${TOPIC_ID};0;${i};0` })
  }
  let written = 0
  const send = (_topic: string, records: readonly RecordToSend[]): Promise<number[]> => {
    const first = written
    written += records.length
    return Promise.resolve(records.map((_, i) => first + i))
  }
  const id = { stream: contract.name, version: 1, rawTopicId: TOPIC_ID, partition: 0 }
  const nothing = (): void => {}
  const worker = createPartitionWorker(
    {
      id,
      books: openBooks(0, 0),
      dedupe: createDedupeStore(contract.refine.dedupeWindowMs),
      fates: createPublishedFates({ lane: 'main', topicId: TOPIC_ID, partition: 0 }, 0),
      fatesEnd: 0,
      announced: null,
    },
    {
      topics: { raw: 'raw', refined: 'refined', deadLetter: 'dead-letter' },
      group: 'bench',
      codeAt: () => code,
      findRow: (_stream, key) => rows.get(key) ?? null,
      producer: { send },
      publish: () => Promise.resolve(),
      limits: { maxChunkBytes: 700_000, maxOutputBytes: 4_000_000 },
      wallClock: () => '2026-01-01T00:00:00Z',
      telemetry: { decided: nothing, deadLettered: nothing, checkpoint: nothing, restored: nothing },
    },
  )
  return { worker, outputs: () => written }
}

/** CPU seconds of this process, its garbage collection included. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

async function measure(variant: Variant, records: readonly KafkaRecord[]): Promise<number> {
  const { worker, outputs } = createWorker(variant)
  const startedAt = cpuSeconds()
  for (let from = 0; from < records.length; from += BATCH) {
    const part = records.slice(from, from + BATCH)
    const batch = { topic: 'raw', topicId: TOPIC_ID, partition: 0, firstOffset: from, nextOffset: from + part.length }
    await worker.run(rawSources({ ...batch, records: part }), batch.nextOffset)
    worker.checkpoint(batch.nextOffset)
  }
  const rate = records.length / (cpuSeconds() - startedAt)
  if (outputs() !== records.length)
    throw new Error(`${variant.name}: ${outputs()} outputs of ${records.length} records`)
  return rate
}

/** What the machine gives at this moment: parsing the same bytes and nothing else. */
function yardstick(records: readonly KafkaRecord[]): number {
  const startedAt = cpuSeconds()
  let found = 0
  for (const { value } of records) if ('orderId' in JSON.parse((value as Buffer).toString('utf8'))) found++
  return found / (cpuSeconds() - startedAt)
}

const { values } = parseArgs({
  options: { records: { type: 'string', default: '200000' }, repeats: { type: 'string', default: '5' } },
})
const records = rawRecords(Number(values.records))
const bytes = records.reduce((sum, { value }) => sum + (value?.byteLength ?? 0), 0) / records.length
for (const variant of VARIANTS) await measure(variant, records)
const parsing: number[] = []
const rates = new Map(VARIANTS.map(({ name }) => [name, [] as number[]]))
for (let i = 0; i < Number(values.repeats); i++) {
  parsing.push(yardstick(records))
  for (const variant of VARIANTS) rates.get(variant.name)!.push(await measure(variant, records))
}
console.log(`${records.length} records of ${Math.round(bytes)} bytes, ${values.repeats} interleaved repeats\n`)
console.log('| work | median records per CPU second | min–max | ratio |\n|---|--:|--:|--:|')
const ceiling = median(parsing)
for (const [name, own] of [['JSON.parse alone', parsing] as const, ...rates]) {
  const [low, middle, high] = [Math.min(...own), median(own), Math.max(...own)]
  const text = (rate: number): string => Math.round(rate).toLocaleString('en')
  console.log(`| ${name} | ${text(middle)} | ${text(low)}–${text(high)} | ${(middle / ceiling).toFixed(2)} |`)
}
