import { createHmac, randomBytes } from 'node:crypto'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { bytesText, headerText, type KafkaRecord } from '@mesh/shared/core/record'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { type GatewayProcess, publishStream, startGateway } from '../support/gateway-process.ts'
import { produceWithJava } from '../support/java-partitions.ts'

const PARTITIONS = 7
const run = randomBytes(4).toString('hex')
const EVENTS = `gw-${run}-events`
const HOOKS = `gw-${run}-hooks`
const SECRET = 'integration-secret'

type Receipt = { index: number; status: string; eventId: string; topic: string; partition: number; offset: number }

describe('the gateway as a process, on a real broker', () => {
  const brokers = inject('kafkaBrokers')
  let kafka: KafkaPort
  let producer: Producer
  let lakeUrl: string
  let gateway: GatewayProcess

  beforeAll(async () => {
    kafka = connectKafka({ brokers: brokers.split(','), clientId: 'gateway-test' })
    producer = await kafka.producer()
    lakeUrl = pathToFileURL(await mkdtemp(join(tmpdir(), 'mesh-lake-'))).href
    const common = { lakeUrl, partitions: PARTITIONS }
    const events = 'key: /key\neventId: /id\ningest:\n  - { kind: events, auth: api-key }\n'
    const hooks = `key: [/repository/full_name]\ningest:\n  - { kind: webhook, provider: github, secrets: [env:HOOK_SECRET] }\n`
    await publishStream(kafka, producer, { ...common, name: EVENTS, yaml: events })
    await publishStream(kafka, producer, { ...common, name: HOOKS, yaml: hooks })
    gateway = await startGateway({
      MESH_KAFKA_BROKERS: brokers,
      MESH_LAKE_URL: lakeUrl,
      MESH_INGEST_GATEWAY_API_KEYS: 'tester:key-1',
      HOOK_SECRET: SECRET,
    })
    await gateway.ready()
  })
  afterAll(async () => {
    await gateway?.stop('SIGKILL')
    await producer?.close()
    await kafka?.close()
  })

  async function post(
    body: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; receipts: Receipt[] }> {
    const reply = await fetch(`${gateway.url}/v1/streams/${EVENTS}/events`, {
      method: 'POST',
      headers: { authorization: 'Bearer key-1', 'content-type': 'application/json', ...headers },
      body,
    })
    return { status: reply.status, receipts: ((await reply.json()) as { receipts: Receipt[] }).receipts }
  }

  /** The records at the receipts' coordinates. */
  async function readBack(receipts: readonly Receipt[]): Promise<KafkaRecord[]> {
    const topic = receipts[0]!.topic
    const found = new Map<string, KafkaRecord>()
    const partitions = [...new Set(receipts.map((r) => r.partition))]
    const ranges = partitions.map((partition) => {
      const offsets = receipts.filter((r) => r.partition === partition).map((r) => r.offset)
      return { partition, from: Math.min(...offsets), to: Math.max(...offsets) + 1 }
    })
    await kafka.readRanges(topic, ranges, (batch) => {
      for (const record of batch.records) found.set(`${batch.partition}/${record.offset}`, record)
    })
    return receipts.map((r) => found.get(`${r.partition}/${r.offset}`)!)
  }

  test('every receipt names the coordinate where the exact bytes lie, with their headers', async () => {
    const elements = [
      '{ "id": "a-1", "key":"x", "n": 1.0 }',
      '{"key":"y","id":12345678901234567890,"id":2}',
      '{"id":"é","key":7.50}',
    ]
    const before = Date.now()
    const { status, receipts } = await post(`[ ${elements.join(' ,\n')} ]`, {
      'mesh-src': 'main;x;0;0;0',
      'x-other': 'no',
    })
    expect(status).toBe(200)
    expect(receipts.map((r) => r.eventId)).toEqual(['a-1', '2', 'é'])
    const records = await readBack(receipts)
    expect(records.map((r) => bytesText(r.value!))).toEqual(elements)
    expect(records.map((r) => bytesText(r.key!))).toEqual(['x', 'y', '7.50'])
    for (const [i, record] of records.entries()) {
      expect(record.headers.map((h) => h.name)).toEqual([
        'ce_specversion',
        'ce_id',
        'ce_source',
        'ce_type',
        'ce_time',
        'content-type',
      ])
      expect(headerText(record.headers, 'ce_id')).toBe(receipts[i]!.eventId)
      expect(record.timestamp).toBeGreaterThanOrEqual(before)
      expect(record.timestamp).toBeLessThanOrEqual(Date.now())
    }
  })

  test("keys lie in the partitions where Kafka's own Java producer puts them", async () => {
    const keys = Array.from(
      { length: 200 },
      (_, n) => ['k', 'schlüssel-', '键', '😀', 'a longer key with spaces '][n % 5] + String(n),
    )
    const topic = `java-${run}`
    await kafka.admin.ensureTopics([{ name: topic, partitions: PARTITIONS, config: {} }])
    await produceWithJava({ stackCache: inject('stackCache'), brokers, topic, keys })
    const byJava = new Map<string, number>()
    const offsets = await kafka.admin.offsets(topic)
    const ranges = offsets
      .map((o) => ({ partition: o.partition, from: 0, to: o.highWatermark }))
      .filter((r) => r.to > 0)
    await kafka.readRanges(topic, ranges, (batch) => {
      for (const record of batch.records) byJava.set(bytesText(record.key!), batch.partition)
    })
    expect(byJava.size).toBe(keys.length)
    const { receipts } = await post(JSON.stringify(keys.map((key, n) => ({ id: `j-${n}`, key }))))
    expect(Object.fromEntries(keys.map((key, n) => [key, receipts[n]!.partition]))).toEqual(Object.fromEntries(byJava))
  })

  test('a large batch lands in order per partition', async () => {
    const lines = Array.from({ length: 5000 }, (_, n) =>
      JSON.stringify({ id: `big-${n}`, key: `k${n % 50}`, pad: 'x'.repeat(900) }),
    )
    const { status, receipts } = await post(lines.join('\n'), { 'content-type': 'application/x-ndjson' })
    expect(status).toBe(200)
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const offsets = receipts.filter((r) => r.partition === partition).map((r) => r.offset)
      expect(offsets).toEqual([...offsets].sort((a, b) => a - b))
    }
    const records = await readBack(receipts)
    expect(records.map((r) => bytesText(r.value!))).toEqual(lines)
  })

  test('a GitHub delivery lands with its id and headers; a forged one does not', async () => {
    const body = '{\n  "repository": {"full_name": "o/r", "html_url": "https://github.com/o/r"}\n}'
    const send = (signature: string): Promise<Response> =>
      fetch(`${gateway.url}/webhooks/${HOOKS}`, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'x-github-event': 'push',
          'x-github-delivery': `d-${run}`,
          'x-hub-signature-256': `sha256=${signature}`,
        },
        body,
      })
    expect((await send(createHmac('sha256', 'other').update(body).digest('hex'))).status).toBe(401)
    const reply = await send(createHmac('sha256', SECRET).update(body).digest('hex'))
    expect(reply.status).toBe(200)
    const [record] = await readBack(((await reply.json()) as { receipts: Receipt[] }).receipts)
    expect(record!.offset).toBe(0)
    expect(bytesText(record!.value!)).toBe(body)
    expect(bytesText(record!.key!)).toBe('o/r')
    expect(headerText(record!.headers, 'ce_id')).toBe(`d-${run}`)
    expect(headerText(record!.headers, 'x-github-event')).toBe('push')
  })

  test('a stream published, and changed, while the gateway runs is served without a restart', async () => {
    const name = `gw-${run}-late`
    const url = `${gateway.url}/v1/streams/${name}/events`
    const status = async (): Promise<number> =>
      (await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' })).status
    expect(await status()).toBe(404)
    const common = { lakeUrl, partitions: 2, name }
    await publishStream(kafka, producer, { ...common, yaml: 'ingest:\n  - { kind: events, auth: none }\n' })
    await vi.waitFor(async () => expect(await status()).toBe(200), { timeout: 60_000, interval: 100 })
    await publishStream(kafka, producer, {
      ...common,
      yaml: 'key: /k\ningest:\n  - { kind: events, auth: none }\n',
      epoch: 1,
    })
    await vi.waitFor(async () => expect(await status()).toBe(422), { timeout: 60_000, interval: 100 })
  })

  test('SIGTERM answers what is under way and ends with 0', async () => {
    const other = await startGateway({
      MESH_KAFKA_BROKERS: brokers,
      MESH_LAKE_URL: lakeUrl,
      MESH_INGEST_GATEWAY_API_KEYS: 'tester:key-1',
    })
    await other.ready()
    const metrics = await (await fetch(`${other.url}/metrics`)).text()
    expect(metrics).toMatch(/mesh_ingest_in_flight_bytes/)
    expect(await other.stop('SIGTERM')).toBe(0)
  })
})
