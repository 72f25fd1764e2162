import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { until } from '@mesh/shared/testing/until'
import { expect, test } from 'vitest'
import type { IngestStream } from '../../src/core/ports.ts'
import {
  createTopics,
  HTTP_SOURCE,
  type PollingGateway,
  polledStream,
  pollOf,
  rawRecords,
  startPolling,
} from '../support/polling-gateway.ts'
import { stoppedAfterEach } from '../support/stopped-after-each.ts'

const open = stoppedAfterEach()
const DISTANCE_MS = 100
const PATHS = ['/a', '/b', '/c', '/d'] as const

type Asked = { readonly path: string; readonly at: number; readonly beside: number }

/** A server that takes its time, and knows what it is asked while it is still busy. */
async function slowServer(): Promise<{ url: string; port: number; asked: Asked[] }> {
  const asked: Asked[] = []
  let busy = 0
  const server = createServer((request, response) => {
    asked.push({ path: request.url!.split('?')[0]!, at: performance.now(), beside: busy++ })
    response.on('close', () => busy--)
    void delay(20).then(() => {
      response.setHeader('content-type', 'application/json')
      response.end(`{"list":[{"id":"${request.url}-${asked.length}"}]}`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push({
    async stop() {
      server.closeAllConnections()
      server.close()
    },
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, port, asked }
}

test('the limits of a source hold over all gateways: one of them asks for all of its polls, and another one when it dies', async () => {
  const api = await slowServer()
  const kafka = createMemoryKafka()
  const polls = PATHS.map((path) => pollOf({ path, every: '10ms', query: {}, pages: undefined as never }))
  const limits = { requestsPerMinute: 60_000 / DISTANCE_MS, concurrency: 1 }
  const streamOf = (ingest: typeof polls): IngestStream =>
    polledStream(polls[0]!, { ...HTTP_SOURCE, url: api.url, limits }, { key: ['/id'], ingest })
  const stream = streamOf(polls)
  await createTopics(kafka, stream)
  const clients = ['one', 'two', 'three'].map((name) => kafka.client(name))
  const begun = performance.now()
  // At once, and each with another poll first: were each poll led for itself, no gateway would lead all.
  const gateways: PollingGateway[] = await Promise.all(
    clients.map((client, i) =>
      startPolling(client, streamOf([...polls.slice(i), ...polls.slice(0, i)]), { ports: [api.port] }),
    ),
  )
  open.push(...gateways)
  const leading = (): number[] => gateways.map((one) => one.statuses().filter(({ leads }) => leads).length)
  const isOne = (): boolean => leading().toSorted().join() === `0,0,${PATHS.length}`
  await until(isOne, 'one gateway to lead all polls')
  const isWhole = (from: number): boolean =>
    new Set(api.asked.slice(from).map(({ path }) => path)).size === PATHS.length
  await until(() => isWhole(0) && api.asked.length >= 20, 'all polls, some times')

  const former = leading().indexOf(PATHS.length)
  clients[former]!.kill()
  await gateways[former]!.stop().catch(() => undefined)
  open.splice(open.indexOf(gateways[former]!), 1)
  gateways.splice(former, 1)
  const before = api.asked.length
  await until(() => leading().toSorted().join() === `0,${PATHS.length}`, 'another to lead all of them', 60_000)
  await until(() => isWhole(before), 'all polls again')

  // What one gateway alone may ask; the second leader's first request does not know of the first leader's last one. From before the
  // first request was sent: how late that one arrives is no matter of the limit.
  const passed = api.asked.at(-1)!.at - begun
  expect(api.asked.length).toBeLessThanOrEqual(passed / DISTANCE_MS + 2)
  expect(api.asked.filter(({ beside }) => beside > 0).length).toBeLessThanOrEqual(1)
  expect(rawRecords(kafka, stream).length).toBeGreaterThan(0)
}, 120_000)

test('polls of other sources are led by themselves, and a poll that goes leaves the others of its source alone', async () => {
  const api = await slowServer()
  const kafka = createMemoryKafka()
  const polls = PATHS.slice(0, 2).map((path) => pollOf({ path, every: '10ms', query: {}, pages: undefined as never }))
  const stream = polledStream(polls[0]!, { ...HTTP_SOURCE, url: api.url }, { key: ['/id'], ingest: polls })
  await createTopics(kafka, stream)
  let intent: 'running' | 'paused' = 'running'
  const gateway = await startPolling(kafka, stream, {
    ports: [api.port],
    wishOf: () => ({ intent, restartedAt: null }),
  })
  open.push(gateway)
  await until(() => gateway.statuses().every(({ leads }) => leads), 'both polls')
  intent = 'paused'
  gateway.refresh()
  await until(() => gateway.statuses().every(({ state }) => state === 'paused'), 'the pause of both')
  const asked = api.asked.length
  intent = 'running'
  gateway.refresh()
  await until(() => new Set(api.asked.slice(asked).map(({ path }) => path)).size === 2, 'both again')
  expect(gateway.statuses().every(({ leads }) => leads)).toBe(true)
}, 120_000)
