import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addHash, formatHash } from '@mesh/shared/core/books'
import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { bytesText, type KafkaRecord, textBytes } from '@mesh/shared/core/record'
import {
  deadLetterTopic,
  enricherGroup,
  rawTopic,
  refinedTopic,
  stateTopic,
  VERSIONS_TOPIC,
} from '@mesh/shared/core/topics'
import type { BundleBinding, StreamVersions } from '@mesh/shared/core/versions'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import {
  deadLetterTopicSpec,
  meshTopics,
  rawTopicSpec,
  refinedTopicSpec,
  stateTopicSpec,
} from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { createFolderObjectStore } from '@mesh/shared/lake/folder-object-store'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { freezeBundle, putBundle } from '@mesh/shared/schema/bundle'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import type { ServiceProcess } from '../../../../tests/setup/spawn-service.ts'
import { createCodeLoader, type PrivacyDeps } from '../../src/adapters/code-loader.ts'
import { stillParked } from '../../src/core/books.ts'
import { readBooks } from '../../src/core/books-metadata.ts'
import type { JoinedRow } from '../../src/core/joins.ts'
import { recompute } from '../oracle.ts'
import { ordersLog, srcOf } from '../orders.ts'
import { byOrigin, outputsOf, readOutputs } from '../reader.ts'
import { type Log, type Posted, recordOf } from '../world.ts'
import { spawnEnricher } from './spawn-enricher.ts'

const SETTLE = { timeout: 120_000, interval: 100 }
const PARTITIONS = 2
/** Lives that end by SIGKILL. After each the group waits for the dead member's session to run out. */
const LIVES = 2
const PER_LIFE = 300
type Guarantee = 'at-least-once' | 'exactly-once'
/** Longer than the test: the row comes. */
const LONG_MS = 600_000
/** Longer than a life takes to begin, and the row never comes. */
const SHORT_MS = 90_000

let kafka: KafkaPort
let producer: Producer
let dir: string
beforeAll(async () => {
  kafka = connectKafka({ brokers: inject('kafkaBrokers').split(','), clientId: 'enricher-test' })
  producer = await kafka.producer()
  dir = await mkdtemp(join(tmpdir(), 'enricher-killed-'))
})
afterAll(async () => {
  await kafka?.close()
  await rm(dir, { recursive: true, force: true, maxRetries: 10 })
})

const registry = createSchemaRegistry({ url: inject('registryUrl') })
const codec = createAvroCodec(registry)
const lake = () => createFolderObjectStore(join(dir, 'lake'))

/** Applies a stream of `test/streams` under a name of its own: the broker is shared with other tests. */
const NO_SECRETS: PrivacyDeps = {
  readSecret: () => Promise.reject(new Error('no stream here has a secret')),
  holdMs: 1000,
  maxSubjects: 1,
  onErased: () => {},
}

type Applying = { readonly guarantee: Guarantee; readonly suffix: string; readonly waitMs: number }

async function apply(folderName: string, { guarantee, suffix, waitMs }: Applying): Promise<StreamVersions> {
  const folder = await loadStreamFolder(join(import.meta.dirname, '..', 'streams', folderName))
  const joins = folder.contract.refine.joins.map((rule) => ({
    ...rule,
    stream: `${rule.stream}-${suffix}`,
    onMissing: { waitMs, giveUp: 'dead-letter' as const },
  }))
  const stream = `${folderName}-${suffix}`
  const contract = { ...folder.contract, name: stream, refine: { ...folder.contract.refine, joins, guarantee } }
  const bundle = await freezeBundle({ ...folder, contract })
  await putBundle(lake(), bundle)
  const schemaId = await registry.register(`${refinedTopic(stream, 1)}-value`, bundle.refinedAvsc)
  await kafka.admin.ensureTopics([
    rawTopicSpec(contract),
    refinedTopicSpec(contract, 1, false),
    deadLetterTopicSpec(contract),
    stateTopicSpec(contract, 1),
  ])
  const { hash, codeHash, contractHash } = bundle
  const binding: BundleBinding = { hash, codeHash, contractHash, schemaId, from: [] }
  return {
    stream,
    epoch: 0,
    live: 1,
    rawTopicId: (await kafka.admin.topicIds([rawTopic(stream)])).get(rawTopic(stream))!,
    partitions: PARTITIONS,
    versions: [{ version: 1, status: 'live', bundles: [binding], start: [0, 0], replay: null }],
    at: new Date().toISOString(),
  }
}

async function applyBoth(
  guarantee: Guarantee,
  waitMs: number,
): Promise<Record<'customers' | 'orders', StreamVersions>> {
  await kafka.admin.ensureTopics(meshTopics())
  const options = { guarantee, suffix: randomUUID().slice(0, 8), waitMs }
  return { customers: await apply('customers', options), orders: await apply('orders', options) }
}

const announce = (stream: string, state: StreamVersions | null): Promise<unknown> => {
  const value = state === null ? null : textBytes(JSON.stringify(state))
  return producer.send(VERSIONS_TOPIC, [{ partition: 0, key: textBytes(stream), value, headers: [] }])
}

async function read(topic: string): Promise<Log> {
  const log: { partition: number; offset: number; record: KafkaRecord }[] = []
  const offsets = await kafka.admin.offsets(topic)
  const ranges = offsets.map((o) => ({ partition: o.partition, from: o.logStartOffset, to: o.highWatermark }))
  await kafka.readRanges(topic, ranges, ({ partition, records }) => {
    for (const record of records) log.push({ partition, offset: record.offset, record })
  })
  return log
}

async function lag(stream: string): Promise<number> {
  const committed = await kafka.admin.committed(enricherGroup(stream, 1), rawTopic(stream))
  const offsets = await kafka.admin.offsets(rawTopic(stream))
  return offsets.reduce((sum, o) => sum + o.highWatermark - (committed.get(o.partition)?.offset ?? 0), 0)
}

/** Parked records without a fate, by the books. */
async function waiting(stream: string): Promise<number> {
  const committed = await kafka.admin.committed(enricherGroup(stream, 1), rawTopic(stream))
  return [...committed.values()].reduce((sum, { metadata }) => sum + stillParked(readBooks(metadata, stream)), 0)
}

/** Raw records decided and committed. What is written tells less: once every key waits for the late customer, nothing is. */
async function decided(stream: string): Promise<number> {
  const committed = await kafka.admin.committed(enricherGroup(stream, 1), rawTopic(stream))
  return [...committed.values()].reduce((sum, { offset }) => sum + offset, 0)
}

/** The table of customers as the refined topic has it. */
async function customerRows(stream: string): Promise<Map<string, JoinedRow>> {
  const rows = new Map<string, JoinedRow>()
  for (const { record } of await read(refinedTopic(stream, 1))) {
    const { record: row } = await codec.decode(record.value!)
    rows.set(bytesText(record.key!), { record: row, src: srcOf(record) })
  }
  return rows
}

test.each(['at-least-once', 'exactly-once'] as const)(
  'killed in the middle of its work, again and again, the enricher loses nothing and writes nothing twice, %s',
  async (guarantee) => {
    const { customers, orders } = await applyBoth(guarantee, LONG_MS)
    await announce(customers.stream, customers)
    await producer.send(
      rawTopic(customers.stream),
      ['c0', 'c1', 'c2'].map((id) =>
        recordOf({ key: id, id, value: { id, name: `name of ${id}` }, timestamp: Date.now() }, 0),
      ),
    )
    const first = spawnEnricher(dir)
    await expect.poll(() => lag(customers.stream), SETTLE).toBe(0)
    // The orders of a fourth customer wait for its row, which comes when all else is decided.
    await announce(orders.stream, orders)

    // The orders of test logs are of last January; a real broker's retention would take them.
    const shift = Date.now() - 4 * 86_400_000 - Date.UTC(2026, 0, 1)
    let running: ServiceProcess = first
    for (let life = 1; life <= LIVES; life++) {
      const before = await decided(orders.stream)
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const posted = ordersLog(life, PER_LIFE, partition).map((p) => ({ ...p, timestamp: p.timestamp! + shift }))
        await producer.send(
          rawTopic(orders.stream),
          posted.map((p, i) => recordOf(p, i)),
        )
      }
      await expect.poll(() => decided(orders.stream), SETTLE).toBeGreaterThan(before)
      running.child.kill('SIGKILL')
      await once(running.child, 'exit')
      running = spawnEnricher(dir)
    }
    await expect.poll(() => lag(orders.stream), SETTLE).toBe(0)
    expect(await waiting(orders.stream)).toBeGreaterThan(100)
    const late = recordOf({ key: 'c3', id: 'c3', value: { id: 'c3', name: 'late' }, timestamp: Date.now() }, 0)
    await producer.send(rawTopic(customers.stream), [late])
    await expect.poll(() => waiting(orders.stream), SETTLE).toBe(0)
    running.child.kill('SIGTERM')
    const [exitCode] = (await once(running.child, 'exit')) as [number]
    await announce(orders.stream, null)
    await announce(customers.stream, null)
    expect([exitCode, running.output()]).toEqual([0, expect.stringContaining('started')])

    const rows = await customerRows(customers.stream)
    const loader = createCodeLoader({ store: lake(), codec, cacheDir: join(dir, 'oracle'), privacy: NO_SECRETS })
    const code = await loader.load(orders.versions[0]!.bundles[0]!)
    const [raw, refined] = [await read(rawTopic(orders.stream)), await read(refinedTopic(orders.stream, 1))]
    const dead = await read(deadLetterTopic(orders.stream))
    const committed = await kafka.admin.committed(enricherGroup(orders.stream, 1), rawTopic(orders.stream))
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const own = (log: Log): Log => log.filter((entry) => entry.partition === partition)
      const at = { topicId: orders.rawTopicId, partition }
      const expected = recompute(own(raw), at, { code, findRow: (_stream, key) => rows.get(key) ?? null })
      const books = readBooks(committed.get(partition)!.metadata, 'test')
      expect(own(raw)).toHaveLength(LIVES * PER_LIFE)
      const { counts, parked } = books
      expect({ ...counts, ok: counts.ok + parked.ok, outputs: counts.outputs + parked.outputs }).toMatchObject({
        outputs: expected.counts.outputs,
        duplicate: expected.counts.duplicate,
      })
      expect(counts.drop + parked.drop).toBe(expected.counts.drop)
      expect(counts.deadLetter + parked.deadLetter).toBe(expected.counts.deadLetter)
      const read = readOutputs(own(refined).map(({ record }) => record))
      expect(formatHash(addHash(books.hash, parked.hash))).toBe(formatHash(read.hash))
      const found = read.outputs.map(({ origin, value }) => [origin, value]).sort(byOrigin)
      expect(found).toEqual(outputsOf(expected.fates))
      if (guarantee === 'exactly-once') expect(read.redelivered).toBe(0)
      const refused = expected.fates.flatMap((fate, offset) => (fate.kind === 'deadLetter' ? [offset] : []))
      const letters = own(dead).map(({ record }) => parseMeshSrc(srcOf(record)).offset)
      const distinct = guarantee === 'exactly-once' ? letters : [...new Set(letters)]
      expect(distinct.sort((a, b) => a - b)).toEqual(refused)
    }
    expect(refined.some(({ record }) => srcOf(record).startsWith('parked;'))).toBe(true)
  },
  600_000,
)

test('how long a parked record may wait is counted from its parking, however often the process is killed', async () => {
  const streams = [await applyBoth('at-least-once', SHORT_MS), await applyBoth('exactly-once', SHORT_MS)]
  for (const { customers } of streams) {
    await announce(customers.stream, customers)
    const row = recordOf({ key: 'c0', id: 'c0', value: { id: 'c0', name: 'known' }, timestamp: Date.now() }, 0)
    await producer.send(rawTopic(customers.stream), [row])
  }
  let running = spawnEnricher(dir)
  for (const { customers } of streams) await expect.poll(() => lag(customers.stream), SETTLE).toBe(0)
  for (const { orders } of streams) await announce(orders.stream, orders)
  let n = 0
  async function order(customer: string): Promise<void> {
    const posted: Posted = { key: customer, id: `o${++n}`, value: { n, customer }, timestamp: Date.now(), partition: 0 }
    for (const { orders } of streams) await producer.send(rawTopic(orders.stream), [recordOf(posted, 0)])
    for (const { orders } of streams) await expect.poll(() => decided(orders.stream), SETTLE).toBe(n)
  }
  await order('nobody')
  for (const { orders } of streams) expect(await waiting(orders.stream)).toBe(1)
  let startedMs = 0
  for (let life = 1; life <= LIVES; life++) {
    running.child.kill('SIGKILL')
    await once(running.child, 'exit')
    startedMs = Date.now()
    running = spawnEnricher(dir)
    // It has read what is parked: only then is it killed again.
    await order('c0')
  }
  for (const { orders } of streams) await expect.poll(() => waiting(orders.stream), SETTLE).toBe(0)
  running.child.kill('SIGTERM')
  const [exitCode] = (await once(running.child, 'exit')) as [number]
  expect(exitCode).toBe(0)
  for (const { orders, customers } of streams) {
    await announce(orders.stream, null)
    await announce(customers.stream, null)
    const [parked, gone, ...more] = (await read(stateTopic(orders.stream, 1))).map(({ record }) => record)
    expect([parked?.value === null, gone?.value, more]).toEqual([false, null, []])
    const letters = await read(deadLetterTopic(orders.stream))
    expect(letters.map(({ record }) => parseMeshSrc(srcOf(record)).offset)).toEqual([0])
    const { timestamp } = letters[0]!.record
    expect(timestamp - parked!.timestamp).toBeGreaterThanOrEqual(SHORT_MS)
    // Counted from the last start it would be later.
    expect(timestamp).toBeLessThan(startedMs + SHORT_MS)
  }
}, 900_000)
