import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesText, headerText, type KafkaRecord } from '@mesh/shared/core/record'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { until } from '@mesh/shared/testing/until'
import type { Collection, Document } from 'mongodb'
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest'
import type { MongoPosition } from '../../src/core/mongo/position.ts'
import type { SourceStatus } from '../../src/core/source-status.ts'
import { committedRecords, decidedRecords } from '../support/committed-records.ts'
import { type GatewayProcess, publishStream, startGateway } from '../support/gateway-process.ts'
import { type MongoStandIn, startMongoStandIn } from '../support/mongo-stand-in.ts'

const PARTITIONS = 3
const API_KEY = 'secret-key'
let kafka: KafkaPort
let mongo: MongoStandIn
let streams = 0
const gateways: GatewayProcess[] = []

beforeAll(async () => {
  kafka = connectKafka({ brokers: [inject('kafkaBrokers')], clientId: 'mongo-test' })
  await kafka.admin.ensureTopics(meshTopics())
  mongo = await startMongoStandIn()
})
afterAll(async () => {
  await mongo.stop()
  await kafka.close()
})
afterEach(async () => {
  await Promise.all(gateways.splice(0).map((gateway) => gateway.stop('SIGKILL')))
})

type World = {
  readonly name: string
  readonly source: string
  readonly orders: Collection<Document & { _id: unknown }>
  readonly records: () => Promise<Change[]>
  /** All that is there now, once every transaction of it has its markers: they reach the partitions one by one. */
  readonly decided: () => Promise<Change[]>
  readonly position: () => Promise<MongoPosition | null>
  readonly gateway: (env?: Record<string, string>) => Promise<GatewayProcess>
}
type Change = { readonly key: string; readonly op: string; readonly after: Document | null; readonly id: string }

async function world(more = 'heartbeat: 300ms'): Promise<World> {
  const lakeUrl = `file://${await mkdtemp(join(tmpdir(), 'mesh-lake-'))}`
  const name = `mongo-${process.pid}-${streams++}`
  const source = `shop-${process.pid}-${streams}`
  const collection = `orders${streams}`
  const producer = await kafka.producer()
  const { topic } = await publishStream(kafka, producer, {
    name,
    lakeUrl,
    partitions: PARTITIONS,
    yaml: `ingest: [{ kind: cdc, source: ${source}, collection: shop.${collection} }]\n`,
    sources: { [source]: `name: ${source}\nkind: mongodb\nurl: env:MONGO_URL\n${more}\n` },
  })
  await producer.close()
  return {
    name,
    source,
    orders: mongo.client.db('shop').collection<Document & { _id: unknown }>(collection),
    records: async () => (await committedRecords(kafka, topic)).map(changeOf),
    decided: async () => (await decidedRecords(kafka, topic)).map(changeOf),
    async position() {
      const own = (await decidedRecords(kafka, CURSORS_TOPIC)).filter(({ key }) =>
        bytesText(key!).startsWith(`${name}/`),
      )
      const last = own.at(-1)?.value
      return last ? (JSON.parse(bytesText(last)) as { state: MongoPosition | null }).state : null
    },
    async gateway(env = {}) {
      const started = await startGateway({
        MESH_KAFKA_BROKERS: inject('kafkaBrokers'),
        MESH_LAKE_URL: lakeUrl,
        MESH_INGEST_GATEWAY_API_KEYS: `test:${API_KEY}`,
        MONGO_URL: mongo.url,
        ...env,
      })
      gateways.push(started)
      await started.ready()
      return started
    },
  }
}

function changeOf({ key, value, headers }: KafkaRecord): Change {
  const envelope = JSON.parse(bytesText(value!)) as { op: string; after: string | null }
  return {
    key: bytesText(key!),
    op: envelope.op,
    after: envelope.after === null ? null : (JSON.parse(envelope.after) as Document),
    id: headerText(headers, 'ce_id') ?? '',
  }
}

async function statusOf(gateway: GatewayProcess, { name, source }: World): Promise<SourceStatus | undefined> {
  const reply = await fetch(`${gateway.url}/readyz`)
  return ((await reply.json()) as { sources: Record<string, SourceStatus> }).sources[`${source}/${name}`]
}

const numbered = (from: number, to: number): { _id: unknown; n: number }[] =>
  Array.from({ length: to - from }, (_, i) => ({ _id: from + i, n: from + i }))
const keysOf = (changes: readonly Change[], op: string): number[] =>
  changes
    .filter((change) => change.op === op)
    .map(({ key }) => Number(key))
    .sort((a, b) => a - b)
const upTo = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

test('documents first, then every insert and delete, each once and in order per key', async () => {
  const w = await world()
  await w.orders.insertMany(numbered(0, 25))
  const gateway = await w.gateway()
  await until(async () => keysOf(await w.records(), 'r').length === 25, 'the documents', 60_000)
  await until(async () => (await w.position())?.snapshot === null, 'the end of the snapshot', 60_000)
  await w.orders.insertMany(numbered(25, 40))
  await w.orders.deleteMany({ n: { $lt: 10 } })
  await until(async () => keysOf(await w.records(), 'd').length === 10, 'the deletes', 60_000)
  const changes = await w.decided()
  expect(keysOf(changes, 'r')).toEqual(upTo(0, 25))
  expect(keysOf(changes, 'c').filter((key) => key >= 25)).toEqual(upTo(25, 40))
  expect(keysOf(changes, 'd')).toEqual(upTo(0, 10))
  expect(changes.find(({ key, op }) => key === '30' && op === 'c')?.after).toEqual({
    _id: { $numberInt: '30' },
    n: { $numberInt: '30' },
  })
  expect(new Set(changes.map(({ id }) => id)).size).toBe(changes.length)
  for (const key of upTo(0, 10)) {
    expect(changes.filter((change) => change.key === String(key)).at(-1)?.op).toBe('d')
  }
  // It is told after the commit.
  await until(async () => (await statusOf(gateway, w))?.state === 'running', 'health', 60_000)
  expect(await statusOf(gateway, w)).toMatchObject({ kind: 'cdc', leads: true })
  const sources = (await (await fetch(`${gateway.url}/v1/sources`)).json()) as { sources: Record<string, unknown>[] }
  expect(sources.sources.find(({ source }) => source === w.source)).toMatchObject({ kind: 'mongodb', state: 'running' })
}, 600_000)

test('gateways that are killed while they read lose nothing and repeat nothing', async () => {
  const w = await world()
  const [first, more, lives] = [2500, 300, 4]
  const total = first + more * lives
  await w.orders.insertMany([...numbered(0, first), { _id: 'x', n: -1 }, { _id: true, n: -2 }])
  let seen = 0
  for (let life = 0; life < lives; life++) {
    const gateway = await w.gateway()
    // A kill lands among the documents, or among the changes that were made while they were read.
    await until(async () => (await w.records()).length > seen, 'some records', 90_000)
    const from = first + life * more
    await w.orders.insertMany(numbered(from, from + more))
    await gateway.stop('SIGKILL')
    seen = (await w.records()).length
  }
  await w.gateway()
  await until(async () => keysOf(await w.records(), 'c').includes(total - 1), 'the last change', 90_000)
  const changes = await w.decided()
  expect(new Set(changes.map(({ id }) => id)).size).toBe(changes.length)
  const expected = [...upTo(0, total).map(String), 'x', 'true']
  expect([...new Set(changes.map(({ key }) => key))].sort()).toEqual(expected.sort())
  expect(keysOf(changes, 'c').filter((key) => key >= first)).toEqual(upTo(first, total))
}, 600_000)

test('a server that dies and comes back is read on from its token', async () => {
  const w = await world()
  const gateway = await w.gateway()
  await w.orders.insertMany(numbered(0, 5))
  await until(async () => (await w.records()).length >= 5, 'the first', 60_000)
  await mongo.kill()
  await until(async () => (await statusOf(gateway, w))?.error?.code === 'MESH_SOURCE_UNREACHABLE', 'trouble', 60_000)
  await mongo.start()
  await w.orders.insertMany(numbered(5, 9))
  await until(async () => new Set((await w.records()).map(({ key }) => key)).size === 9, 'the rest', 90_000)
  const changes = await w.decided()
  expect(new Set(changes.map(({ id }) => id)).size).toBe(changes.length)
  await until(async () => (await statusOf(gateway, w))?.state === 'running', 'the source to be well', 60_000)
}, 600_000)

test('`resnapshot` begins anew with all documents, `snapshot` reads them beside the changes', async () => {
  const w = await world()
  await w.orders.insertMany(numbered(0, 5))
  const gateway = await w.gateway()
  await until(async () => (await w.position())?.snapshot === null, 'the snapshot', 60_000)
  const ask = (action: string, body: unknown): Promise<Response> =>
    fetch(`${gateway.url}/v1/sources/${w.source}/${action}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` },
      body: JSON.stringify(body),
    })
  const reads = async (): Promise<number> => keysOf(await w.records(), 'r').length
  expect((await ask('snapshot', {})).status).toBe(200)
  await until(async () => (await reads()) === 10, 'all documents again', 60_000)
  expect((await ask('resnapshot', {})).status).toBe(400)
  expect((await ask('resnapshot', { confirm: w.source })).status).toBe(200)
  await until(async () => (await reads()) === 15, 'all documents once more', 60_000)
  await w.orders.insertMany(numbered(5, 6))
  await until(async () => keysOf(await w.records(), 'c').includes(5), 'the next change', 60_000)

  expect((await ask('pause', {})).status).toBe(200)
  await until(async () => (await statusOf(gateway, w))?.state === 'paused', 'the pause', 60_000)
  await w.orders.insertMany(numbered(6, 7))
  await gateway.stop('SIGKILL')
  const next = await w.gateway()
  await until(async () => (await statusOf(next, w))?.state === 'paused', 'the pause after a kill', 60_000)
  expect(keysOf(await w.decided(), 'c')).not.toContain(6)
  const at = { url: `${next.url}/v1/sources/${w.source}`, headers: { authorization: `Bearer ${API_KEY}` } }
  expect((await fetch(`${at.url}/resume`, { method: 'POST', headers: at.headers })).status).toBe(200)
  await until(async () => keysOf(await w.records(), 'c').includes(6), 'the change of the pause', 60_000)
  expect(await reads()).toBe(15)

  const consent = { method: 'DELETE', headers: { ...at.headers, 'content-type': 'application/json' } }
  expect((await fetch(at.url, { ...consent, body: '{}' })).status).toBe(400)
  const deleted = await fetch(at.url, { ...consent, body: JSON.stringify({ confirm: w.source }) })
  expect([deleted.status, await deleted.text()]).toEqual([200, expect.stringContaining(`${w.name}/${w.source}/cdc:`)])
  await until(async () => (await statusOf(next, w))?.state === 'deleted', 'the delete', 60_000)
  expect(await w.position()).toBeNull()
}, 600_000)

test('a secret that is missing, a server that is not there and an address that is none are told, without the credentials', async () => {
  const w = await world()
  for (const [url, code] of [
    ['', 'MESH_SECRET_MISSING'],
    ['mongodb://127.0.0.1:1/', 'MESH_SOURCE_UNREACHABLE'],
    ['mongodb://user:hunter2@/nowhere?nonsense', 'MESH_SOURCE_CONFIG'],
  ] as const) {
    const gateway = await w.gateway({ MONGO_URL: url })
    await until(async () => (await statusOf(gateway, w))?.error?.code === code, code, 60_000)
    expect(JSON.stringify(await statusOf(gateway, w))).not.toContain('hunter2')
    await gateway.stop('SIGKILL')
    expect(gateway.output()).not.toContain('hunter2')
  }
}, 600_000)
