import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { until } from '@mesh/shared/testing/until'
import { expect, test } from 'vitest'
import { joinSourcesTopic, type SourcesTopic } from '../../src/adapters/sources/sources-topic.ts'
import { UNASKED, type Wish } from '../../src/core/sources/source-types.ts'
import { type PagedServer, thingsUpTo } from '../support/paged-server.ts'
import {
  BY_TIME,
  eventIds,
  type PollingGateway,
  polledServer,
  rawRecords,
  startPolling,
} from '../support/polling-gateway.ts'
import { stoppedAfterEach } from '../support/stopped-after-each.ts'

const open = stoppedAfterEach()

const PAUSED: Wish = { intent: 'paused', restartedAt: null }
const DELETED: Wish = { intent: 'deleted', restartedAt: null }

type World = {
  readonly api: PagedServer
  readonly gateway: PollingGateway
  readonly ids: () => string[]
  readonly ask: (wish: Wish | null) => void
}

/** A poll of a list that only grows, and an operator. */
async function world(first: Wish | null): Promise<World> {
  const { api, kafka, stream } = await polledServer(4, BY_TIME, open)
  let wish = first
  const gateway = await startPolling(kafka, stream, { ports: [api.port], wishOf: () => wish })
  open.push(gateway)
  return {
    api,
    gateway,
    ids: () => eventIds(rawRecords(kafka, stream)),
    ask(to) {
      wish = to
      gateway.refresh()
    },
  }
}

test('a poll that is paused asks for nothing, keeps where it stands, and goes on there when it is resumed', async () => {
  const { api, gateway, ids, ask } = await world(UNASKED)
  await until(() => gateway.status().lastOk !== null, 'the first run')
  ask(PAUSED)
  await until(() => gateway.status().state === 'paused', 'the pause')
  const asked = api.asked.length
  api.things = thingsUpTo(6)
  expect(gateway.status()).toMatchObject({ leads: false, cursor: { since: thingsUpTo(4).at(-1)!.at } })
  expect(gateway.status().lastOk).not.toBeNull()
  // Its turn would have come every 10 ms.
  const since = Date.now()
  await until(() => Date.now() - since > 500, 'half a second')
  expect(api.asked.length).toBe(asked)
  ask(UNASKED)
  await until(() => ids().includes('5'), 'what came in the pause')
  expect(api.asked.slice(asked).every((path) => path.includes('since='))).toBe(true)
}, 120_000)

test('nothing is read before it is known what an operator wants', async () => {
  const { api, gateway, ids, ask } = await world(null)
  await until(() => gateway.status()?.state === 'waiting', 'the source to be known')
  const since = Date.now()
  await until(() => Date.now() - since > 300, 'some turns')
  expect(api.asked).toEqual([])
  ask(UNASKED)
  await until(() => ids().length >= 4, 'the things')
}, 120_000)

test('a poll that is deleted begins anew when it is resumed', async () => {
  const { api, gateway, ask } = await world(UNASKED)
  await until(() => gateway.status().lastOk !== null, 'the first run')
  ask(DELETED)
  await until(() => gateway.status().state === 'deleted', 'the delete')
  expect(gateway.status()).toMatchObject({ lastOk: null, cursor: null })
  await gateway.forget()
  const asked = api.asked.length
  ask(UNASKED)
  await until(() => api.asked.length > asked, 'a request')
  expect(api.asked[asked]).not.toContain('since=')
}, 120_000)

test('a restart does not wait for the end of a pause', async () => {
  const { api, gateway, ids, ask } = await world(PAUSED)
  let refused = true
  api.intercept = (_request, response) => {
    if (refused) response.writeHead(429, { 'retry-after': '3600' }).end('{}')
    return refused
  }
  ask(UNASKED)
  await until(() => gateway.status()?.error?.code === 'MESH_POLL_RATE_LIMITED', 'the refusal')
  refused = false
  ask({ intent: 'running', restartedAt: '2026-01-01T00:00:00.000Z' })
  await until(() => ids().length >= 4, 'the things')
  await until(() => gateway.status().state !== 'failing', 'health')
}, 120_000)

test('what was asked is durable, and known to every gateway before it is told anything else', async () => {
  const kafka = createMemoryKafka()
  const told: string[] = []
  const join = async (name: string): Promise<SourcesTopic> => {
    const own = kafka.client(name)
    const producer = await own.producer()
    const topic = await joinSourcesTopic(own, () => producer, {
      onBroken(error) {
        throw error
      },
      onWishes: (wishOf) => told.push(`${name} ${wishOf('api').intent}`),
    })
    open.push(topic)
    return topic
  }
  const one = await join('one')
  const two = await join('two')
  expect(two.wishOf('api')).toEqual(UNASKED)
  await one.putWish('api', PAUSED)
  expect(one.wishOf('api')).toEqual(PAUSED)
  await until(() => told.includes('two paused'), 'the other to be told')
  const three = await join('three')
  expect(told).toContain('three paused')
  expect(told).not.toContain('three running')
  await three.dropWish('api')
  await until(() => two.wishOf('api').intent === 'running', 'the wish to be dropped')
  expect(told.slice(0, 2)).toEqual(['one running', 'two running'])
}, 120_000)
