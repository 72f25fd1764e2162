import { headerText } from '@mesh/shared/core/record'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Stack } from '../../../../packages/cli/src/stack/stack.ts'
import { type OwnBroker, startOwnBroker } from '../../../../tests/setup/own-broker.ts'
import { type GatewayProcess, publishStream, startGateway } from '../support/gateway-process.ts'

const STREAM = 'trouble'
const PARTITIONS = 3

type Receipt = { status: string; eventId: string; partition: number; offset: number }
type Posted = { id: string; status: number; receipt: Receipt | null }

describe('a broker in trouble (invariant I5)', { timeout: 400_000 }, () => {
  let broker: OwnBroker
  let lakeUrl: string
  let stack: Stack
  let kafka: KafkaPort
  let producer: Producer
  let gateway: GatewayProcess
  const posted: Posted[] = []

  beforeAll(async () => {
    broker = await startOwnBroker('trouble')
    ;({ stack, lakeUrl } = broker)
    kafka = connectKafka({ brokers: [stack.addresses.kafkaBrokers], clientId: 'trouble-test' })
    producer = await kafka.producer()
    await publish(STREAM)
    gateway = await startGateway({
      MESH_KAFKA_BROKERS: stack.addresses.kafkaBrokers,
      MESH_LAKE_URL: lakeUrl,
      MESH_INGEST_GATEWAY_PRODUCE_TIMEOUT: '500ms',
      MESH_INGEST_GATEWAY_RETRY_AFTER: '2s',
    })
    await gateway.ready()
  })
  afterAll(async () => {
    await gateway?.stop('SIGKILL')
    await producer?.close()
    await kafka?.close()
    await broker?.stop()
  })

  const publish = (name: string): Promise<unknown> =>
    publishStream(kafka, producer, {
      name,
      lakeUrl,
      partitions: PARTITIONS,
      yaml: 'key: /key\ningest:\n  - { kind: events, auth: none }\n',
    })

  async function post(stream: string = STREAM): Promise<Posted> {
    const id = `e-${posted.length}`
    const reply = await fetch(`${gateway.url}/v1/streams/${stream}/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'idempotency-key': id },
      body: JSON.stringify({ key: id }),
    }).catch((cause: unknown) => {
      throw new Error(`the gateway does not answer: ${gateway.output()}`, { cause })
    })
    if (reply.status === 503) expect(reply.headers.get('retry-after')).toBe('2')
    const { receipts } = (await reply.json()) as { receipts?: Receipt[] }
    const result = { id, status: reply.status, receipt: receipts?.[0] ?? null }
    if (stream === STREAM) posted.push(result)
    return result
  }
  async function postUntil(status: number, times: number, timeout: number): Promise<void> {
    let seen = 0
    await vi.waitFor(
      async () => {
        while ((await post()).status === status) if (++seen >= times) return
        throw new Error(`no ${times} answers with ${status} yet`)
      },
      { timeout, interval: 20 },
    )
  }
  const readiness = async (): Promise<number> => (await fetch(`${gateway.url}/readyz`)).status

  test('a broker that hangs gives 503 and unreadiness; when it goes on, so does the gateway', async () => {
    await postUntil(200, 20, 60_000)
    stack.kill('kafka', 'SIGSTOP')
    try {
      await postUntil(503, 3, 60_000)
      await vi.waitFor(async () => expect(await readiness()).toBe(503), { timeout: 60_000, interval: 100 })
    } finally {
      stack.kill('kafka', 'SIGCONT')
    }
    await postUntil(200, 20, 60_000)
    await vi.waitFor(async () => expect(await readiness()).toBe(200), { timeout: 60_000, interval: 100 })
  })

  test('a broker that is killed and comes back gives 503 and then 200, with the same process', async () => {
    const restarted = stack.restart('kafka', 'SIGKILL')
    await postUntil(503, 3, 60_000)
    await restarted
    await postUntil(200, 20, 60_000)
    expect(gateway.child.exitCode).toBeNull()
  })

  test('streams published after the trouble are served: mesh.versions is still followed', async () => {
    await publish('after')
    await vi.waitFor(async () => expect((await post('after')).status).toBe(200), { timeout: 60_000, interval: 100 })
  })

  test('every 200 is in the log at its receipt, and no other status than 200 and 503 was given', async () => {
    const records = new Map<string, string | null>()
    const ranges = (await kafka.admin.offsets(`raw.${STREAM}.v1`)).map((o) => ({
      partition: o.partition,
      from: 0,
      to: o.highWatermark,
    }))
    await kafka.readRanges(`raw.${STREAM}.v1`, ranges, (batch) => {
      for (const record of batch.records) {
        records.set(`${batch.partition}/${record.offset}`, headerText(record.headers, 'ce_id'))
      }
    })
    const accepted = posted.filter((p) => p.status === 200)
    expect(accepted.length).toBeGreaterThanOrEqual(60)
    for (const { id, receipt } of accepted) expect(records.get(`${receipt!.partition}/${receipt!.offset}`)).toBe(id)
    expect(new Set(posted.map((p) => p.status))).toEqual(new Set([200, 503]))
    expect(posted.filter((p) => p.status === 503).every((p) => p.receipt?.status === 'unknown')).toBe(true)
  })
})
