import { bytesText } from '@mesh/shared/core/record'
import { until } from '@mesh/shared/testing/until'
import { expect, test } from 'vitest'
import { forgotten, readPositionKey } from '../../src/core/forgotten.ts'
import { forgetPositions } from '../../src/forget-positions.ts'
import {
  BY_TIME,
  cursorState,
  eventIds,
  type PolledServer,
  type PollingGateway,
  polledServer,
  rawRecords,
  startPolling,
} from '../support/polling-gateway.ts'
import { stoppedAfterEach } from '../support/stopped-after-each.ts'

const open = stoppedAfterEach()

const KEY = 'things/api/poll:/things'

type World = PolledServer & {
  readonly start: (name?: string) => Promise<PollingGateway>
}

async function world(changes: Parameters<typeof polledServer>[1]): Promise<World> {
  const { api, kafka, stream } = await polledServer(8, changes, open)
  return {
    api,
    kafka,
    stream,
    async start(name = 'one') {
      const gateway = await startPolling(kafka.client(name), stream, { ports: [api.port] })
      open.push(gateway)
      return gateway
    },
  }
}

test('a poll that is forgotten reads everything again, under the ids that it had, without waiting for its turn', async () => {
  const { api, kafka, stream, start } = await world({ ...BY_TIME, every: '1h' })
  const gateway = await start()
  await until(() => gateway.status().lastOk !== null, 'the first run')
  expect(await gateway.forget()).toEqual([KEY])
  await until(() => rawRecords(kafka, stream).length === 16, 'all things again')
  expect(new Set(eventIds(rawRecords(kafka, stream))).size).toBe(8)
  const firstPages = api.asked.filter((path) => !path.includes('page='))
  expect(firstPages.map((path) => path.includes('since='))).toEqual([false, false])
  await until(() => (cursorState(kafka)?.['since'] ?? null) === api.things.at(-1)!.at, 'the position')
})

test('another process that reads it is fenced and begins anew', async () => {
  const { api, kafka, stream, start } = await world(BY_TIME)
  const gateway = await start('reader')
  await until(() => gateway.status().lastOk !== null, 'the first run')
  const asked = api.asked.length
  expect(await forgetPositions(kafka.client('operator'), 'api', Date.now)).toEqual([KEY])
  await until(() => api.asked.slice(asked).some((path) => !/since=|page=/.test(path)), 'a run from the start')
  await until(() => rawRecords(kafka, stream).length >= 16, 'all things again')
}, 120_000)

test('a sweep goes on with its numbers and its keys: what is gone is still told', async () => {
  const { api, kafka, stream, start } = await world({ deletes: 'sweep' })
  const gateway = await start()
  await until(() => Number(cursorState(kafka)?.['runs'] ?? 0) >= 2, 'two runs')
  const runs = Number(cursorState(kafka)?.['runs'])
  await gateway.forget()
  api.things = api.things.filter(({ id }) => id !== 3)
  const deletes = (): string[] =>
    rawRecords(kafka, stream).flatMap(({ key, value }) => (value === null ? [bytesText(key!)] : []))
  await until(() => deletes().length > 0, 'the delete')
  expect(deletes()).toEqual(['3'])
  expect(Number(cursorState(kafka)?.['runs'])).toBeGreaterThan(runs)
})

test('positions of other sources are left alone, and of one that was never read there is nothing to forget', async () => {
  const { kafka, start } = await world({ ...BY_TIME, every: '1h' })
  const gateway = await start()
  await until(() => gateway.status().lastOk !== null, 'the first run')
  const before = cursorState(kafka)
  expect(await forgetPositions(kafka.client('operator'), 'ap', Date.now)).toEqual([])
  expect(cursorState(kafka)).toEqual(before)
})

test('keys of positions are read, and what is no position is not', () => {
  expect(readPositionKey('clicks/cache/redis-stream:a/b')).toMatchObject({
    stream: 'clicks',
    source: 'cache',
    part: null,
  })
  expect(readPositionKey('orders/legacy/kafka:orders.v1#11')).toEqual({
    id: 'orders/legacy/kafka:orders.v1',
    stream: 'orders',
    source: 'legacy',
    kind: 'kafka',
    part: '11',
  })
  for (const key of ['', 'orders', 'a/b', 'a/b/other:c']) expect(readPositionKey(key)).toBeNull()
})

test('numbers that are in event ids go on', () => {
  expect(forgotten('redis-keyspace', { seq: 7 })).toEqual({ state: { seq: 7 }, parts: 'deleted' })
  expect(forgotten('poll', { of: {}, runs: 5, since: 'x' })).toEqual({ state: { of: {}, runs: 5 }, parts: 'kept' })
  expect(forgotten('cdc', { token: 't' })).toEqual({ state: null, parts: 'deleted' })
  expect(forgotten('kafka', { topicId: 't', position: 5 })).toEqual({ state: null, parts: 'deleted' })
})
