import type { KafkaPort } from '@mesh/shared/kafka/port'
import { loadConfig } from '@mesh/shared/runtime/config'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { createTelemetry } from '@mesh/shared/runtime/telemetry'
import { until } from '@mesh/shared/testing/until'
import { expect, test } from 'vitest'
import { CONFIG, CONFIG_PREFIX } from '../../src/config.ts'
import { createConnectSources } from '../../src/connect-sources.ts'
import type { IngestStream } from '../../src/core/ports.ts'
import type { SourceStatus } from '../../src/core/source-status.ts'
import { createPulledSources } from '../../src/pulled-sources.ts'
import { createGatewayTelemetry } from '../../src/telemetry.ts'
import { API_KEY, directoryOf } from '../support/gateway.ts'
import { type PagedServer, thingsUpTo } from '../support/paged-server.ts'
import { BY_TIME, eventIds, polledServer, rawRecords } from '../support/polling-gateway.ts'
import { stoppedAfterEach } from '../support/stopped-after-each.ts'

const open = stoppedAfterEach()

type Part = {
  readonly status: () => SourceStatus | undefined
  readonly ask: (method: 'POST' | 'DELETE', path: string, body?: object) => Promise<{ status: number; body: string }>
  stop(): Promise<void>
}

/** What main.ts composes for sources, with its HTTP routes, over an in-memory Kafka. */
async function gateway(kafka: KafkaPort, stream: IngestStream, port: number): Promise<Part> {
  const config = loadConfig(
    CONFIG,
    {
      MESH_KAFKA_BROKERS: 'k:9092',
      MESH_HTTP_PORT: '0',
      MESH_LAKE_URL: 'file:///lake',
      MESH_INGEST_GATEWAY_API_KEYS: `alice:${API_KEY}`,
      MESH_INGEST_GATEWAY_AUDIT_INTERVAL: '0s',
      MESH_OUTBOUND_ALLOWED_CIDRS: '127.0.0.0/8',
      MESH_OUTBOUND_PORTS: String(port),
    },
    CONFIG_PREFIX,
  )
  const metrics = createTelemetry('ingest-gateway')
  const telemetry = createGatewayTelemetry(metrics, SILENT_LOGGER, () => 0)
  const directory = directoryOf([stream])
  const fatal = (error: unknown): never => {
    throw error
  }
  const producer = await kafka.producer()
  const link = {
    producer: () => producer,
    state: () => ({ connected: true }) as never,
    start: async () => {},
    stop: async () => {},
  }
  const wishOf: Parameters<typeof createPulledSources>[0]['wishOf'] = (source) => connectors.wishOf(source)
  const pulled = createPulledSources({ config, kafka, directory, telemetry, wishOf, fatal })
  const { connectors, routes } = createConnectSources({ config, kafka, link, directory, telemetry, pulled })
  const server = createHttpServer({
    host: '127.0.0.1',
    port: 0,
    telemetry: metrics,
    logger: SILENT_LOGGER,
    readiness: () => ({ ready: true, detail: {} }),
    routes,
  })
  await connectors.start()
  pulled.refresh()
  const part: Part = {
    status: () => Object.values(pulled.status())[0],
    async ask(method, path, body = {}) {
      const headers = { authorization: `Bearer ${API_KEY}` }
      const answer = await server.app.inject({ method, url: `/v1/sources/api${path}`, headers, payload: body })
      return { status: answer.statusCode, body: answer.body }
    },
    async stop() {
      await pulled.stop()
      await connectors.stop()
      await server.app.close()
    },
  }
  open.push(part)
  return part
}

type World = {
  readonly api: PagedServer
  readonly ids: () => string[]
  readonly start: (name: string) => Promise<Part>
}

async function world(): Promise<World> {
  const { api, kafka, stream } = await polledServer(4, BY_TIME, open)
  return {
    api,
    ids: () => eventIds(rawRecords(kafka, stream)),
    start: (name) => gateway(kafka.client(name), stream, api.port),
  }
}

const everywhere = (parts: readonly Part[], state: string): Promise<void> =>
  until(() => parts.every((part) => part.status()?.state === state), `${state} everywhere`)

test('a pause asked of one gateway stops the reader in another, holds in one that starts later, and ends by a resume', async () => {
  const w = await world()
  const [one, two] = [await w.start('one'), await w.start('two')]
  await until(() => new Set(w.ids()).size === 4, 'the things')
  const idleOne = (): Part | undefined => [one, two].find((part) => part.status()?.leads === false)
  await until(() => idleOne() !== undefined, 'one that stands by')
  const idle = idleOne()!
  expect((await idle.ask('POST', '/pause')).status).toBe(200)
  await everywhere([one, two], 'paused')
  const refused = await idle.ask('POST', '/restart')
  expect([refused.status, refused.body]).toEqual([409, expect.stringContaining('mesh sources resume api')])
  const asked = w.api.asked.length
  w.api.things = thingsUpTo(6)
  const three = await w.start('three')
  await everywhere([three], 'paused')
  expect(w.api.asked.length).toBe(asked)
  expect((await three.ask('POST', '/resume')).status).toBe(200)
  await until(() => new Set(w.ids()).size === 6, 'what came in the pause')
  expect(w.api.asked.slice(asked).every((path) => path.includes('since='))).toBe(true)
}, 120_000)

test('a delete asks for consent, forgets the position, holds in one that starts later, and a resumed reader begins anew', async () => {
  const w = await world()
  const one = await w.start('one')
  await until(() => new Set(w.ids()).size === 4, 'the things')
  expect((await one.ask('DELETE', '')).status).toBe(400)
  const answer = await one.ask('DELETE', '', { confirm: 'api' })
  expect(JSON.parse(answer.body)).toEqual({ source: 'api', intent: 'deleted', positions: ['things/api/poll:/things'] })
  await everywhere([one], 'deleted')
  const asked = w.api.asked.length
  const two = await w.start('two')
  await everywhere([two], 'deleted')
  expect(w.api.asked.length).toBe(asked)
  expect((await two.ask('POST', '/resume')).status).toBe(200)
  await until(() => w.api.asked.length > asked, 'a request')
  expect(w.api.asked[asked]).not.toContain('since=')
}, 120_000)
