import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { headerText, type KafkaRecord } from '@mesh/shared/core/record'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { until } from '@mesh/shared/testing/until'
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest'
import type { SourceStatus } from '../../src/core/source-status.ts'
import { committedRecords, decidedRecords } from '../support/committed-records.ts'
import { type GatewayProcess, publishStream, startGateway } from '../support/gateway-process.ts'
import { type PagedServer, servePaged, thingsUpTo } from '../support/paged-server.ts'

const PARTITIONS = 3
let kafka: KafkaPort
let lakeUrl: string
let api: PagedServer
const gateways: GatewayProcess[] = []
let streams = 0

beforeAll(async () => {
  kafka = connectKafka({ brokers: [inject('kafkaBrokers')], clientId: 'pulled-test' })
  await kafka.admin.ensureTopics(meshTopics())
})
afterAll(() => kafka.close())
afterEach(async () => {
  await Promise.all(gateways.splice(0).map((gateway) => gateway.stop('SIGKILL')))
  await api.close()
})

async function world(count: number, poll: string): Promise<{ name: string; topic: string }> {
  api = await servePaged(thingsUpTo(count))
  lakeUrl = `file://${await mkdtemp(join(tmpdir(), 'mesh-lake-'))}`
  const name = `pulled-${process.pid}-${streams++}`
  const producer = await kafka.producer()
  const { topic } = await publishStream(kafka, producer, {
    name,
    lakeUrl,
    partitions: PARTITIONS,
    yaml: `key: /id\ningest: [{ kind: poll, source: api, path: /things, records: /list, id: /id, every: 200ms, ${poll} }]\n`,
    sources: { api: `name: api\nkind: http\nurl: ${api.url}\n` },
  })
  await producer.close()
  return { name, topic }
}

async function gateway(): Promise<GatewayProcess> {
  const started = await startGateway({
    MESH_KAFKA_BROKERS: inject('kafkaBrokers'),
    MESH_LAKE_URL: lakeUrl,
    MESH_OUTBOUND_ALLOWED_CIDRS: '127.0.0.0/8',
    MESH_OUTBOUND_PORTS: String(api.port),
  })
  gateways.push(started)
  await started.ready()
  return started
}

async function status(of: GatewayProcess, stream: string): Promise<SourceStatus | undefined> {
  const reply = await fetch(`${of.url}/readyz`)
  const { sources } = (await reply.json()) as { sources: Record<string, SourceStatus> }
  return sources[`api/${stream}`]
}

const ids = (records: readonly KafkaRecord[]): number[] =>
  records.map(({ headers }) => Number(headerText(headers, 'ce_id'))).sort((a, b) => a - b)

async function position(stream: string): Promise<{ run: { pages: number } | null; runs: number } | null> {
  const own = (await decidedRecords(kafka, CURSORS_TOPIC)).filter(({ key }) =>
    Buffer.from(key!).toString().startsWith(`${stream}/`),
  )
  const last = own.at(-1)?.value
  return last
    ? (JSON.parse(Buffer.from(last).toString()) as { state: { run: { pages: number } | null; runs: number } }).state
    : null
}

const PAGED =
  "query: { limit: '{{size}}', page: '{{page}}', since: '{{since}}' }, pages: { kind: token, at: /next, size: 4 }, cursor: { kind: time, at: /at }"

test('a gateway that is killed in the middle of a run loses nothing, repeats nothing, and its position is never ahead', async () => {
  const { name, topic } = await world(40, PAGED)
  let gate = 0
  // Every answer waits for the test: a kill always lands inside a run.
  api.intercept = (_request, response) => {
    if (gate-- > 0) return false
    response.destroy()
    return true
  }
  for (const pages of [3, 4]) {
    gate = pages
    const asked = api.asked.length
    const own = await gateway()
    await until(() => api.asked.length > asked + pages, 'some pages', 60_000)
    await own.stop('SIGKILL')
    // What the killed one had under way is decided once both can be read: each partition has a marker of its own.
    const at = await position(name)
    const records = ids(await decidedRecords(kafka, topic))
    expect(records).toEqual(Array.from({ length: records.length }, (_, i) => i))
    expect((at?.run?.pages ?? 0) * 4).toBe(records.length)
  }
  api.intercept = null
  const last = await gateway()
  await until(async () => ((await status(last, name))?.lastOk ?? null) !== null, 'the run to end', 60_000)
  const seen = ids(await decidedRecords(kafka, topic))
  expect([...new Set(seen)]).toEqual(Array.from({ length: 40 }, (_, i) => i))
}, 600_000)

test('of two gateways one polls, and the other takes over when it dies', async () => {
  const { name, topic } = await world(5, PAGED)
  const both = [await gateway(), await gateway()]
  const leaders = async (): Promise<number[]> => {
    const all = await Promise.all(both.map((one) => status(one, name)))
    return all.flatMap((found, i) => (found?.leads ? [i] : []))
  }
  await until(async () => (await leaders()).length === 1, 'one leader', 60_000)
  await until(async () => (await committedRecords(kafka, topic)).length >= 5, 'the things', 60_000)
  // The group may be giving the lead to the second gateway, which joined later.
  let first: number | undefined
  await until(async () => ([first] = await leaders()) && first !== undefined, 'a leader', 60_000)
  const other = both[1 - first!]!
  await both[first!]!.stop('SIGKILL')
  api.things = thingsUpTo(9)
  await until(async () => (await status(other, name))?.leads === true, 'the other to lead', 60_000)
  await until(async () => new Set(ids(await committedRecords(kafka, topic))).size === 9, 'the new things', 60_000)
}, 600_000)

test('an address that is not allowed is told in /readyz and metrics, and never connected to', async () => {
  const { name } = await world(1, PAGED)
  const started = await startGateway({
    MESH_KAFKA_BROKERS: inject('kafkaBrokers'),
    MESH_LAKE_URL: lakeUrl,
    MESH_OUTBOUND_PORTS: String(api.port),
  })
  gateways.push(started)
  await started.ready()
  await until(
    async () => (await status(started, name))?.error?.code === 'MESH_HTTP_TARGET_REFUSED',
    'the refusal',
    60_000,
  )
  expect((await status(started, name))?.error?.hint).toContain('MESH_OUTBOUND_ALLOWED_CIDRS')
  expect(api.asked).toEqual([])
  const metrics = await (await fetch(`${started.url}/metrics`)).text()
  expect(metrics).toContain('mesh_source_failures_total')
}, 600_000)
