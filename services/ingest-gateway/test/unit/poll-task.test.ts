import { bytesText, headerText } from '@mesh/shared/core/record'
import { until } from '@mesh/shared/testing/until'
import { expect, test } from 'vitest'
import { thingsUpTo } from '../support/paged-server.ts'
import {
  BY_TIME,
  cursorState,
  eventIds,
  type PollingGateway,
  polledServer,
  rawRecords,
  startPolling,
} from '../support/polling-gateway.ts'
import { stoppedAfterEach } from '../support/stopped-after-each.ts'

const open = stoppedAfterEach()

function started(gateway: PollingGateway): PollingGateway {
  open.push(gateway)
  return gateway
}

const idsUpTo = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i))

test('a run reads every page once, on the path of a posted event', async () => {
  // One run: the next would read the last thing again.
  const { api, kafka, stream } = await polledServer(23, { ...BY_TIME, every: '1h' }, open)
  const gateway = started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => gateway.status().lastOk !== null, 'a run to end')
  const records = rawRecords(kafka, stream)
  expect(eventIds(records)).toEqual(idsUpTo(24).slice(0, 23))
  const first = records.find(({ headers }) => headerText(headers, 'ce_id') === '0')!
  expect(bytesText(first.value!)).toBe(JSON.stringify(api.things[0]))
  expect(bytesText(first.key!)).toBe('0')
  expect(headerText(first.headers, 'ce_source')).toBe('/sources/api')
  expect(gateway.status()).toMatchObject({ kind: 'poll', stream: 'things', leads: true })
  expect(cursorState(kafka)).toMatchObject({ since: api.things.at(-1)!.at, run: null })
})

test('what an overlap reads again has the ids that it had', async () => {
  const { api, kafka, stream } = await polledServer(3, BY_TIME, open)
  started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => api.asked.length > 4, 'a second run')
  // The last thing lies on the cursor: each run reads it again.
  expect(new Set(eventIds(rawRecords(kafka, stream)))).toEqual(new Set(['0', '1', '2']))
})

test('killed at any page, a poll goes on from its position: every event once, and the position never ahead of the records', async () => {
  const { api, kafka, stream } = await polledServer(40, { ...BY_TIME, every: '1h' }, open)
  for (let life = 1; life <= 2; life++) {
    const client = kafka.client(`life-${life}`)
    const pages = api.asked.length + 2
    await startPolling(client, stream, { ports: [api.port] })
    await until(() => api.asked.length >= pages, 'two pages')
    client.kill()
    const pagesDone = (cursorState(kafka)?.['run'] as { pages: number } | null)?.pages ?? 0
    expect(rawRecords(kafka, stream)).toHaveLength(pagesDone * 5)
  }
  const last = started(await startPolling(kafka.client('last'), stream, { ports: [api.port] }))
  await until(() => last.status().lastOk !== null, 'the run to end')
  expect(eventIds(rawRecords(kafka, stream))).toEqual(idsUpTo(40))
}, 120_000)

test('of two gateways one polls; when it is paused the other goes on, and nothing of the first gets in after', async () => {
  const { api, kafka, stream } = await polledServer(0, { pages: undefined as never, query: {} }, open)
  const [one, two] = [kafka.client('one'), kafka.client('two')]
  const gateways = [
    started(await startPolling(one, stream, { ports: [api.port] })),
    started(await startPolling(two, stream, { ports: [api.port] })),
  ]
  const leaders = (): number[] => gateways.flatMap((gateway, i) => (gateway.status().leads ? [i] : []))
  await until(() => leaders().length === 1 && gateways[leaders()[0]!]!.status().lastOk !== null, 'a leader')
  const former = leaders()[0]!
  const [paused, other] = former === 0 ? [one, gateways[1]!] : [two, gateways[0]!]
  paused.pause()
  await until(() => other.status().lastOk !== null, 'the other to poll')
  api.things = thingsUpTo(7)
  await until(() => rawRecords(kafka, stream).length >= 7, 'the new things')
  paused.resume()
  await until(() => leaders().length === 1, 'one leader')
  const runs = cursorState(kafka)
  expect(runs).not.toBeNull()
  expect(new Set(eventIds(rawRecords(kafka, stream)))).toEqual(new Set(idsUpTo(7)))
}, 120_000)

test('a server that fails is told with its code, asked again with pauses, and nothing is lost', async () => {
  const { api, kafka, stream } = await polledServer(12, BY_TIME, open)
  let bad = 2
  api.intercept = (request, response) => {
    if (!request.url!.includes('page=5') || bad-- <= 0) return false
    response.writeHead(503, { 'retry-after': '0' }).end('<html>')
    return true
  }
  const gateway = started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => gateway.status().error?.code === 'MESH_POLL_SERVER', 'the failure')
  expect(gateway.status().error?.hint).not.toBe('')
  await until(() => gateway.status().lastOk !== null, 'a run to end')
  expect(gateway.status().state).not.toBe('failing')
  expect(new Set(eventIds(rawRecords(kafka, stream)))).toEqual(new Set(idsUpTo(12)))
  expect(gateway.failures.map(({ code }) => code)).toEqual(['MESH_POLL_SERVER'])
}, 120_000)

test('a server that asks for time is given it, and then asked for the same page', async () => {
  const { api, kafka, stream } = await polledServer(12, BY_TIME, open)
  const times: number[] = []
  api.intercept = (request, response) => {
    if (!request.url!.includes('page=5')) return false
    times.push(performance.now())
    if (times.length > 1) return false
    response.writeHead(429, { 'retry-after': '1' }).end('{"error":"slow down"}')
    return true
  }
  const gateway = started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => gateway.status().error?.code === 'MESH_POLL_RATE_LIMITED', 'the refusal')
  const asked = api.asked.length
  await until(() => times.length > 1, 'the page again')
  expect(times[1]! - times[0]!).toBeGreaterThan(950)
  expect(api.asked[asked]).toContain('page=5')
  await until(() => gateway.status().lastOk !== null, 'a run to end')
  expect(new Set(eventIds(rawRecords(kafka, stream)))).toEqual(new Set(idsUpTo(12)))
}, 120_000)

test('one event that cannot become a record stops the page, is named, and comes with the others once it is right', async () => {
  const { api, kafka, stream } = await polledServer(4, { query: {}, pages: undefined as never }, open)
  const good = api.things
  api.things = [...good.slice(0, 3), { at: 'x' } as never]
  const gateway = started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => gateway.status().state === 'failing', 'the failure')
  expect(gateway.status().error).toMatchObject({ code: 'MESH_SOURCE_EVENT' })
  expect(gateway.status().error?.message).toContain('event 3')
  expect(rawRecords(kafka, stream)).toEqual([])
  api.things = good
  await until(() => gateway.status().lastOk !== null, 'a run to end')
  expect(new Set(eventIds(rawRecords(kafka, stream)))).toEqual(new Set(idsUpTo(4)))
}, 120_000)

test('a sweep turns what is gone into a delete of its key, once', async () => {
  const { api, kafka, stream } = await polledServer(12, { deletes: 'sweep' }, open)
  const gateway = started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => gateway.status().lastOk !== null, 'a run to end')
  api.things = api.things.filter(({ id }) => id !== 3 && id !== 7)
  const tombstones = (): string[] =>
    rawRecords(kafka, stream).flatMap(({ key, value }) => (value === null ? [bytesText(key!)] : []))
  await until(() => tombstones().length > 0, 'the deletes')
  const asked = api.asked.length
  await until(() => api.asked.length > asked + 6, 'two more runs')
  expect(tombstones().sort()).toEqual(['3', '7'])
  api.things = thingsUpTo(12)
  const idsOf = (key: string): string[] =>
    rawRecords(kafka, stream).flatMap((record) =>
      bytesText(record.key!) === key ? [headerText(record.headers, 'ce_id')!] : [],
    )
  await until(() => /^3~\d+$/.test(idsOf('3').at(-1)!), 'what is back to be another event')
  expect(idsOf('5').every((id) => id === '5')).toBe(true)
  api.things = api.things.filter(({ id }) => id !== 3 && id !== 7)
  await until(() => tombstones().length === 4, 'the second deletes')
  const restarted = kafka.client('again')
  await gateway.stop()
  open.pop()
  const again = started(await startPolling(restarted, stream, { ports: [api.port] }))
  await until(() => again.status().lastOk !== null, 'a run')
  expect(tombstones().sort()).toEqual(['3', '3', '7', '7'])
}, 120_000)

test('what moves between the requests of a sweep is missing from one run, and is not deleted', async () => {
  const { api, kafka, stream } = await polledServer(12, { deletes: 'sweep' }, open)
  let runs = 0
  // Every second run is read while thing 7 has just moved to a page that was read before.
  api.intercept = (request) => {
    if (!request.url!.includes('page=')) api.things = thingsUpTo(12).filter(({ id }) => id !== 7 || runs++ % 2 === 0)
    return false
  }
  started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => runs >= 8, 'four runs that miss it')
  expect(rawRecords(kafka, stream).filter(({ value }) => value === null)).toEqual([])
}, 120_000)

test('a list that a server calls unchanged is no list without rows: a sweep asks for it whole', async () => {
  const { api, kafka, stream } = await polledServer(4, { query: {}, pages: undefined as never, deletes: 'sweep' }, open)
  const conditions: unknown[] = []
  api.intercept = (request, response) => {
    conditions.push(request.headers['if-none-match'])
    response.setHeader('etag', '"1"')
    if (request.headers['if-none-match'] === undefined) return false
    response.writeHead(304).end()
    return true
  }
  started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => conditions.length >= 5, 'five runs')
  expect(conditions.every((condition) => condition === undefined)).toBe(true)
  expect(rawRecords(kafka, stream).filter(({ value }) => value === null)).toEqual([])
}, 120_000)

test('a sweep that would remember more keys than it may says so and takes nothing', async () => {
  const { api, kafka, stream } = await polledServer(12, { deletes: 'sweep', maxKeys: 3 }, open)
  const gateway = started(await startPolling(kafka, stream, { ports: [api.port] }))
  await until(() => gateway.status().error?.code === 'MESH_SOURCE_TOO_MANY_KEYS', 'the failure')
  expect(rawRecords(kafka, stream)).toEqual([])
})
