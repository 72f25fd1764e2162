import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { headerText } from '@mesh/shared/core/record'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { type RedisServer, startRedisServer } from '@mesh/shared/testing/redis-server'
import { until } from '@mesh/shared/testing/until'
import { createClient } from '@redis/client'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { SourceStatus } from '../../src/core/source-status.ts'
import { committedRecords, decidedRecords } from '../support/committed-records.ts'
import { type GatewayProcess, publishStream, startGateway } from '../support/gateway-process.ts'
import { type PagedServer, servePaged, thingsUpTo } from '../support/paged-server.ts'

const API_KEY = 'secret-key'
const TURN_MS = 60_000
const NAMES = { poll: `polled-${process.pid}`, redis: `clicks-${process.pid}` } as const
const SOURCES = { poll: `api-${process.pid}`, redis: `cache-${process.pid}` } as const
type Kind = keyof typeof NAMES

/** Two readers of the gateway's own, over a real Kafka, a real Redis and a server that is polled, in gateways that are killed. */
describe('what an operator asks of the readers of the gateway', () => {
  let kafka: KafkaPort
  let api: PagedServer
  let redis: RedisServer
  let lakeUrl: string
  const client = (): ReturnType<typeof createClient> =>
    createClient({ socket: { host: '127.0.0.1', port: redis.port } })
  let writer: ReturnType<typeof client>
  let gateways: GatewayProcess[] = []

  beforeAll(async () => {
    kafka = connectKafka({ brokers: [inject('kafkaBrokers')], clientId: 'operations-test' })
    await kafka.admin.ensureTopics(meshTopics())
    api = await servePaged(thingsUpTo(4))
    redis = await startRedisServer()
    writer = client()
    await writer.connect()
    lakeUrl = `file://${await mkdtemp(join(tmpdir(), 'mesh-lake-'))}`
    const producer = await kafka.producer()
    const stream = (kind: Kind, ingest: string, source: string): Promise<unknown> =>
      publishStream(kafka, producer, {
        name: NAMES[kind],
        lakeUrl,
        partitions: 1,
        yaml: `key: /id\ningest: [{ ${ingest}, source: ${SOURCES[kind]} }]\n`,
        sources: { [SOURCES[kind]]: `name: ${SOURCES[kind]}\n${source}\n` },
      })
    const paged =
      "query: { limit: '{{size}}', page: '{{page}}', since: '{{since}}' }, pages: { kind: token, at: /next, size: 9 }"
    const poll = `kind: poll, path: /things, records: /list, id: /id, every: 100ms, ${paged}, cursor: { kind: time, at: /at }`
    await stream('poll', poll, `kind: http\nurl: ${api.url}`)
    await stream(
      'redis',
      'kind: redis-stream, stream: clicks, field: json',
      `kind: redis\nhost: 127.0.0.1\nport: ${redis.port}`,
    )
    await producer.close()
  })
  afterAll(async () => {
    await killed()
    writer?.destroy()
    await redis?.stop()
    await api?.close()
    await kafka?.close()
  })

  async function started(count: number): Promise<void> {
    gateways = await Promise.all(
      Array.from({ length: count }, () =>
        startGateway({
          MESH_KAFKA_BROKERS: inject('kafkaBrokers'),
          MESH_LAKE_URL: lakeUrl,
          MESH_INGEST_GATEWAY_API_KEYS: `test:${API_KEY}`,
          MESH_OUTBOUND_ALLOWED_CIDRS: '127.0.0.0/8',
          MESH_OUTBOUND_PORTS: String(api.port),
        }),
      ),
    )
    await Promise.all(gateways.map((gateway) => gateway.ready()))
  }
  const killed = (): Promise<unknown> => Promise.all(gateways.map((gateway) => gateway.stop('SIGKILL')))

  async function statuses(kind: Kind): Promise<(SourceStatus | undefined)[]> {
    const all = await Promise.all(gateways.map(({ url }) => fetch(`${url}/readyz`).then((reply) => reply.json())))
    return (all as { sources: Record<string, SourceStatus> }[]).map(
      ({ sources }) => sources[`${SOURCES[kind]}/${NAMES[kind]}`],
    )
  }
  const everywhere = (kind: Kind, state: string): Promise<unknown> =>
    until(async () => (await statuses(kind)).every((one) => one?.state === state), `${kind} ${state}`, TURN_MS)

  /** Asked of one gateway, which need not be the one that reads. */
  function ask(kind: Kind, action: string, body: unknown = {}): Promise<Response> {
    const url = `${gateways[0]!.url}/v1/sources/${SOURCES[kind]}${action === 'delete' ? '' : `/${action}`}`
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` }
    return fetch(url, { method: action === 'delete' ? 'DELETE' : 'POST', headers, body: JSON.stringify(body) })
  }

  const ids = async (kind: Kind): Promise<string[]> =>
    (await committedRecords(kafka, `raw.${NAMES[kind]}.v1`)).map(({ headers }) => headerText(headers, 'ce_id') ?? '')
  /** Of readers that stand still: nothing is on its way any more. */
  const count = async (kind: Kind): Promise<number> => (await decidedRecords(kafka, `raw.${NAMES[kind]}.v1`)).length
  const click = (id: number): Promise<unknown> => writer.sendCommand(['XADD', 'clicks', '*', 'json', `{"id":${id}}`])

  test('a pause outlives every gateway that knew of it, and a resumed reader goes on where it was', async () => {
    await started(1)
    await click(0)
    await click(1)
    // A poll asks for what is not older than the newest that it has: that one comes again, under its id.
    const isThere = async (): Promise<boolean> =>
      new Set(await ids('poll')).size === 4 && (await ids('redis')).length === 2
    await until(isThere, 'the first', TURN_MS)
    for (const kind of ['poll', 'redis'] as const) {
      expect((await ask(kind, 'pause')).status).toBe(200)
      await everywhere(kind, 'paused')
    }
    const refused = await ask('poll', 'restart')
    expect([refused.status, await refused.text()]).toEqual([409, expect.stringContaining('mesh sources resume')])

    await killed()
    api.things = thingsUpTo(7)
    await click(2)
    const [polled, asked] = [await count('poll'), api.asked.length]
    await started(2)
    for (const kind of ['poll', 'redis'] as const) await everywhere(kind, 'paused')
    expect([await count('poll'), await count('redis'), api.asked.length]).toEqual([polled, 2, asked])

    for (const kind of ['poll', 'redis'] as const) expect((await ask(kind, 'resume')).status).toBe(200)
    await until(async () => new Set(await ids('poll')).size === 7, 'the things of the pause', TURN_MS)
    await until(async () => (await ids('redis')).length === 3, 'the click of the pause', TURN_MS)
    expect(new Set(await ids('redis')).size).toBe(3)
    expect(api.asked.slice(asked).every((path) => path.includes('since='))).toBe(true)
  }, 600_000)

  test('a restart is answered by every kind', async () => {
    for (const kind of ['poll', 'redis'] as const) {
      const before = (await statuses(kind)).map((one) => one?.since)
      expect((await ask(kind, 'restart')).status).toBe(200)
      const isAnew = async (): Promise<boolean> =>
        (await statuses(kind)).every((one, i) => one !== undefined && one.since !== before[i])
      await until(isAnew, `${kind} to begin again in every gateway`, TURN_MS)
      await until(async () => (await statuses(kind)).some((one) => one?.lastOk), `${kind} to read`, TURN_MS)
    }
    await click(3)
    await until(async () => (await ids('redis')).length === 4, 'a click after the restart', TURN_MS)
  }, 600_000)

  test('a delete asks for consent, forgets the positions, holds for ever, and a resumed reader begins anew', async () => {
    for (const kind of ['poll', 'redis'] as const) {
      expect((await ask(kind, 'delete')).status).toBe(400)
      const answer = await ask(kind, 'delete', { confirm: SOURCES[kind] })
      const { intent, positions } = (await answer.json()) as { intent: string; positions: string[] }
      expect([answer.status, intent, positions.length]).toEqual([200, 'deleted', 1])
      await everywhere(kind, 'deleted')
    }
    await killed()
    const [polled, clicks, asked] = [await count('poll'), await count('redis'), api.asked.length]
    await click(4)
    await started(1)
    for (const kind of ['poll', 'redis'] as const) await everywhere(kind, 'deleted')
    expect([await count('poll'), await count('redis'), api.asked.length]).toEqual([polled, clicks, asked])

    for (const kind of ['poll', 'redis'] as const) expect((await ask(kind, 'resume')).status).toBe(200)
    await until(async () => (await ids('poll')).length >= polled + 7, 'all things again', TURN_MS)
    await until(async () => (await ids('redis')).length >= clicks + 5, 'all clicks again', TURN_MS)
    // What comes again has the ids that it had: the enricher takes it once.
    expect([new Set(await ids('poll')).size, new Set(await ids('redis')).size]).toEqual([7, 5])
  }, 600_000)
})
