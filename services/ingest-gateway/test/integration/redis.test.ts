import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesText, headerText } from '@mesh/shared/core/record'
import type { RedisSource } from '@mesh/shared/core/source'
import { buildIngest, type RawIngest } from '@mesh/shared/schema/contract-ingest'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { type RedisServer, type RedisServerOptions, startRedisServer } from '@mesh/shared/testing/redis-server'
import { makeClientFiles, makeTlsFiles } from '@mesh/shared/testing/tls-files'
import { until } from '@mesh/shared/testing/until'
import { describe, expect, test } from 'vitest'
import { connectRedis, type RedisConnection, replyList, replyMap } from '../../src/adapters/redis-connection.ts'
import type { IngestStream } from '../../src/core/ports.ts'
import {
  createTopics,
  type PollingGateway,
  polledStream,
  rawRecords,
  startPolling,
} from '../support/polling-gateway.ts'
import { stoppedAfterEach } from '../support/stopped-after-each.ts'

const open = stoppedAfterEach()

type World = {
  readonly redis: RedisServer
  readonly source: RedisSource
  readonly kafka: MemoryKafka
  readonly stream: IngestStream
  start(kafka?: MemoryKafka): Promise<PollingGateway>
  client(): Promise<RedisConnection>
  /** Event ids in Kafka, as they lie there. */
  ids(): (string | null)[]
}

async function world(
  ingest: RawIngest,
  key: readonly string[] = [],
  options: RedisServerOptions & {
    readonly source?: Partial<RedisSource>
    readonly secrets?: Record<string, string>
  } = {},
): Promise<World> {
  const redis = await startRedisServer(options)
  open.push(redis)
  const source: RedisSource = {
    name: 'cache',
    description: '',
    owner: '',
    kind: 'redis',
    host: '127.0.0.1',
    port: String(redis.tlsPort ?? redis.port),
    user: null,
    password: null,
    tls: false,
    database: 0,
    ...options.source,
  }
  const secrets = options.secrets ?? {}
  const kafka = createMemoryKafka()
  const stream = polledStream(buildIngest({ ...ingest, source: 'cache' }), source, { key })
  await createTopics(kafka, stream)
  return {
    redis,
    source,
    kafka,
    stream,
    async start(own = kafka) {
      const gateway = await startPolling(own, stream, { ports: [], secrets })
      open.push(gateway)
      return gateway
    },
    async client() {
      const connection = await connectRedis(source, async (reference) => secrets[reference] ?? null)
      open.push({ stop: async () => connection.close() })
      return connection
    },
    ids: () => rawRecords(kafka, stream).map(({ headers }) => headerText(headers, 'ce_id')),
  }
}

const CLICKS = { kind: 'redis-stream', stream: 'clicks', field: 'json' } as const
const add = (client: RedisConnection, id: number): Promise<unknown> =>
  client.command('XADD', 'clicks', '*', 'json', JSON.stringify({ id, user: `u${id % 3}` }))
const numbers = (w: World): number[] =>
  rawRecords(w.kafka, w.stream).map(({ value }) => (JSON.parse(bytesText(value!)) as { id: number }).id)
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)

describe('a Redis stream', () => {
  test('is read in order per key, under ids of its own, and acknowledged when it is in Kafka', async () => {
    const w = await world(CLICKS, ['/user'])
    const client = await w.client()
    for (const id of upTo(50)) await add(client, id)
    const gateway = await w.start()
    await until(() => numbers(w).length === 50, 'all clicks')
    expect(numbers(w).toSorted((a, b) => a - b)).toEqual(upTo(50))
    for (const user of ['u0', 'u1', 'u2']) {
      const own = rawRecords(w.kafka, w.stream).filter(({ key }) => bytesText(key!) === user)
      const ids = own.map(({ value }) => (JSON.parse(bytesText(value!)) as { id: number }).id)
      expect(ids).toEqual(ids.toSorted((a, b) => a - b))
    }
    expect(w.ids().every((id) => /^clicks:\d+-\d+$/.test(id ?? ''))).toBe(true)
    await until(
      async () => JSON.stringify(await client.command('XPENDING', 'clicks', 'mesh.things')).startsWith('[0'),
      'acks',
    )
    // It is told after the acknowledgement.
    await until(() => gateway.status().state === 'running', 'health')
    expect(gateway.status()).toMatchObject({ kind: 'redis-stream', leads: true })
  })

  test('without a field an entry is an object of its texts', async () => {
    const w = await world({ kind: 'redis-stream', stream: 'clicks' })
    await (await w.client()).command('XADD', 'clicks', '7-1', 'page', '/ü', 'n', '1')
    await w.start()
    await until(() => w.ids().length === 1, 'the entry')
    const [record] = rawRecords(w.kafka, w.stream)
    expect(bytesText(record!.value!)).toBe('{"page":"/ü","n":"1"}')
    expect(headerText(record!.headers, 'ce_id')).toBe('clicks:7-1')
    expect(headerText(record!.headers, 'ce_time')).toBe('1970-01-01T00:00:00.007Z')
  })

  test('what a dead consumer was given and did not acknowledge is taken over', async () => {
    const w = await world(CLICKS)
    const client = await w.client()
    await client.command('XGROUP', 'CREATE', 'clicks', 'mesh.things', '0', 'MKSTREAM')
    for (const id of upTo(5)) await add(client, id)
    await client.command('XREADGROUP', 'GROUP', 'mesh.things', 'dead', 'COUNT', '3', 'STREAMS', 'clicks', '>')
    await w.start()
    await until(() => numbers(w).length === 5, 'all clicks')
    expect(numbers(w).toSorted((a, b) => a - b)).toEqual(upTo(5))
  })

  test('killed gateways lose nothing and repeat ids only', async () => {
    const w = await world(CLICKS)
    const client = await w.client()
    let added = 0
    for (let life = 0; life < 2; life++) {
      const own = w.kafka.client(`life-${life}`)
      await startPolling(own, w.stream, { ports: [] })
      for (let i = 0; i < 20; i++) await add(client, added++)
      await until(() => numbers(w).length > life * 20, 'the first of them')
      own.kill()
    }
    const last = w.kafka.client('last')
    open.push(await startPolling(last, w.stream, { ports: [] }))
    for (let i = 0; i < 20; i++) await add(client, added++)
    await until(() => new Set(numbers(w)).size === added, 'all clicks')
    // A killed process of this test goes on speaking to Redis: what it was given is claimed from it.
    expect(new Set(w.ids()).size).toBe(added)
  }, 300_000)

  test('a killed Redis comes back and is read on', async () => {
    const w = await world(CLICKS, [], { appendonly: true })
    const gateway = await w.start()
    let client = await w.client()
    for (const id of upTo(10)) await add(client, id)
    await until(() => numbers(w).length >= 10, 'the first ten')
    await w.redis.kill()
    await until(() => gateway.status().error?.code === 'MESH_REDIS_UNAVAILABLE', 'the failure')
    await w.redis.start()
    client = await w.client()
    for (const id of upTo(20).slice(10)) await add(client, id)
    await until(() => new Set(numbers(w)).size === 20, 'all clicks')
    expect(new Set(w.ids()).size).toBe(20)
    await until(() => gateway.status().state === 'running', 'health')
  })

  test('a stream that lost everything with its Redis is read from its new start', async () => {
    const w = await world(CLICKS)
    const gateway = await w.start()
    await (await w.client()).command('XADD', 'clicks', '500-1', 'json', '{"id":1}')
    await until(() => numbers(w).length === 1, 'the first')
    await w.redis.kill()
    await until(() => gateway.status().state === 'failing', 'the failure')
    await w.redis.start()
    await (await w.client()).command('XADD', 'clicks', '3-1', 'json', '{"id":2}')
    await until(() => numbers(w).length === 2, 'the new one')
    expect(w.ids()).toContain('clicks:3-1')
  })

  test('entries that were trimmed before they were read are counted', async () => {
    const w = await world(CLICKS)
    const client = await w.client()
    const first = await w.start()
    for (const id of upTo(4)) await add(client, id)
    await until(() => numbers(w).length === 4, 'the first four')
    await first.stop()
    for (const id of upTo(10).slice(4)) await add(client, id)
    await client.command('XTRIM', 'clicks', 'MAXLEN', '2')
    const second = await w.start()
    await until(() => numbers(w).length === 6, 'what is left')
    expect(second.lost).toEqual([4])
    await client.command('XTRIM', 'clicks', 'MAXLEN', '0')
    await add(client, 10)
    await until(() => numbers(w).length === 7, 'one more')
    expect(second.lost).toEqual([4])
  })

  test('a group that another mesh has left behind is read from the start again, each entry once', async () => {
    const w = await world(CLICKS)
    const client = await w.client()
    for (const id of upTo(6)) await add(client, id)
    await client.command('XGROUP', 'CREATE', 'clicks', 'mesh.things', '$')
    await w.start()
    await until(() => numbers(w).length === 6, 'all clicks')
    await add(client, 6)
    await until(() => numbers(w).length === 7, 'one more')
    expect(numbers(w).toSorted((a, b) => a - b)).toEqual(upTo(7))
  })

  test('that is forgotten is read from its start again, under the ids that it had', async () => {
    const w = await world(CLICKS)
    const client = await w.client()
    for (const id of upTo(5)) await add(client, id)
    const gateway = await w.start()
    await until(() => numbers(w).length === 5, 'all clicks')
    expect(await gateway.forget()).toEqual(['things/cache/redis-stream:clicks'])
    await until(() => numbers(w).length === 10, 'all clicks again')
    expect(new Set(w.ids()).size).toBe(5)
    await add(client, 5)
    await until(() => numbers(w).length === 11, 'what is new, once')
  })

  test('a password and an encrypted connection are used as the source says, and a wrong one is told', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mesh-redis-tls-'))
    open.push({ stop: () => rm(folder, { recursive: true, force: true }) })
    const tls = makeTlsFiles(join(folder, 'good'))
    const other = makeTlsFiles(join(folder, 'other'))
    const secrets = { 'env:REDIS': 'pass word', 'env:WRONG': 'x' }
    const files = {
      [`file:${tls.ca}`]: await readFile(tls.ca, 'utf8'),
      [`file:${other.ca}`]: await readFile(other.ca, 'utf8'),
    }
    const w = await world(CLICKS, [], {
      tls,
      password: 'pass word',
      source: { tls: true, ca: `file:${tls.ca}`, password: 'env:REDIS' },
      secrets: { ...secrets, ...files },
    })
    await add(await w.client(), 1)
    await w.start()
    await until(() => numbers(w).length === 1, 'the click')
    const connect = (changes: Partial<RedisSource>): Promise<unknown> =>
      connectRedis({ ...w.source, ...changes }, async (reference) => ({ ...secrets, ...files })[reference] ?? null)
    await expect(connect({ password: 'env:WRONG' })).rejects.toMatchObject({ code: 'MESH_REDIS_REFUSED' })
    await expect(connect({ ca: `file:${other.ca}` })).rejects.toMatchObject({ code: 'MESH_REDIS_UNAVAILABLE' })
    await expect(connect({ tls: false })).rejects.toMatchObject({ code: 'MESH_REDIS_UNAVAILABLE' })
  })

  test('a server that asks for a certificate is shown the one of the source, and turns away who has none or another', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mesh-redis-cert-'))
    open.push({ stop: () => rm(folder, { recursive: true, force: true }) })
    const tls = makeTlsFiles(join(folder, 'good'))
    const own = makeClientFiles(join(folder, 'good'), 'mesh')
    makeTlsFiles(join(folder, 'other'))
    const foreign = makeClientFiles(join(folder, 'other'), 'mesh')
    const secrets: Record<string, string> = {}
    for (const path of [tls.ca, own.cert, own.key, foreign.cert, foreign.key]) {
      secrets[`file:${path}`] = await readFile(path, 'utf8')
    }
    const w = await world(CLICKS, [], {
      tls,
      asksForCertificate: true,
      source: { tls: true, ca: `file:${tls.ca}`, cert: `file:${own.cert}`, key: `file:${own.key}` },
      secrets,
    })
    await add(await w.client(), 1)
    await w.start()
    await until(() => numbers(w).length === 1, 'the click')
    const refusedWith = async (changes: Partial<RedisSource>): Promise<void> => {
      const { cert: _cert, key: _key, ...bare } = w.source
      const told = connectRedis({ ...bare, ...changes }, async (reference) => secrets[reference] ?? null)
      await expect(told).rejects.toMatchObject({ code: 'MESH_REDIS_UNAVAILABLE' })
      await expect(told).rejects.toThrow(/certificate|ERR_/i)
    }
    await refusedWith({})
    await refusedWith({ cert: `file:${foreign.cert}`, key: `file:${foreign.key}` })
    await refusedWith({ cert: `file:${own.cert}`, key: `file:${foreign.key}` })
  })

  test('a wrong password is told, tried again with growing pauses, and nothing is lost when it is right again', async () => {
    const w = await world(CLICKS, [], {
      password: 'right',
      source: { password: 'env:REDIS' },
      secrets: { 'env:REDIS': 'wrong', 'env:RIGHT': 'right' },
    })
    const operator = await connectRedis({ ...w.source, password: 'env:RIGHT' }, async () => 'right')
    open.push({ stop: async () => operator.close() })
    await add(operator, 1)
    const refusals = async (): Promise<number> =>
      replyList(await operator.command('ACL', 'LOG')).reduce<number>(
        (sum, entry) => sum + Number(replyMap(entry).get('count')),
        0,
      )
    const gateway = await w.start()
    await until(() => gateway.status().error?.code === 'MESH_REDIS_REFUSED', 'the refusal')
    expect(gateway.status().error?.message).toContain('WRONGPASS')
    expect(gateway.status().error?.hint).not.toBe('')
    const [begun, since] = [await refusals(), Date.now()]
    await until(() => Date.now() - since > 3000, 'some time')
    // After 0.25, 0.5, 1 and 2 s at least.
    expect((await refusals()) - begun).toBeLessThanOrEqual(4)
    await operator.command('CONFIG', 'SET', 'requirepass', 'wrong')
    await until(() => numbers(w).length === 1, 'the click')
    // It is told after the commit that makes the click visible.
    await until(() => gateway.status().state !== 'failing', 'a status without the refusal')
  })

  test('an entry that cannot become a record is named and stops the stream until it is gone', async () => {
    const w = await world(CLICKS, ['/user'])
    const client = await w.client()
    await client.command('XADD', 'clicks', '1-1', 'json', '{"id":1}')
    const gateway = await w.start()
    await until(() => gateway.status().error?.code === 'MESH_SOURCE_EVENT', 'the failure')
    expect(gateway.status().error?.message).toContain('entry 1-1')
    await client.command('XADD', 'clicks', '1-2', 'json', '{"id":2,"user":"u"}')
    await client.command('XDEL', 'clicks', '1-1')
    await until(() => numbers(w).length === 1, 'the good one')
  })
})

describe('a Redis keyspace', () => {
  const SESSIONS = { kind: 'redis-keyspace', pattern: 'session:*', reconcile: '300ms' } as const
  const events = (w: World): [string, unknown][] =>
    rawRecords(w.kafka, w.stream)
      .toSorted((a, b) => seqOf(a.headers) - seqOf(b.headers))
      .map(({ key, value }) => [
        bytesText(key!),
        value === null ? null : (JSON.parse(bytesText(value)) as { value: unknown }).value,
      ])
  const seqOf = (headers: Parameters<typeof headerText>[0]): number =>
    Number(headerText(headers, 'ce_id')!.split('@').at(-1))

  test('gives what is there, what changes, and what is gone; a value that comes back is a new event', async () => {
    const w = await world(SESSIONS)
    const client = await w.client()
    await client.command('CONFIG', 'SET', 'notify-keyspace-events', 'KEA')
    await client.command('SET', 'session:1', 'a')
    await client.command('SET', 'other', 'x')
    await w.start()
    await until(() => events(w).length === 1, 'what is there')
    for (const value of ['b', 'a']) {
      const before = events(w).length
      await client.command('SET', 'session:1', value)
      await until(() => events(w).length > before, `the value ${value}`)
    }
    await client.command('HSET', 'session:2', 'n', '1', 'm', '2')
    await until(() => events(w).length === 4, 'the hash')
    await client.command('DEL', 'session:1')
    await until(() => events(w).length === 5, 'the delete')
    expect(events(w)).toEqual([
      ['session:1', 'a'],
      ['session:1', 'b'],
      ['session:1', 'a'],
      ['session:2', { m: '2', n: '1' }],
      ['session:1', null],
    ])
    expect(new Set(w.ids()).size).toBe(5)
  })

  test('finds at the next reading what happened while nobody listened, and repeats nothing', async () => {
    const w = await world(SESSIONS)
    const client = await w.client()
    await client.command('CONFIG', 'SET', 'notify-keyspace-events', 'KEA')
    await client.command('SET', 'session:1', 'a')
    await client.command('SET', 'session:2', 'b')
    const first = await w.start()
    await until(() => events(w).length === 2, 'both')
    await first.stop()
    await client.command('SET', 'session:1', 'c')
    await client.command('DEL', 'session:2')
    await client.command('RPUSH', 'session:3', 'x', 'y')
    const second = await w.start()
    await until(() => events(w).length >= 5, 'the three changes')
    await until(() => second.status().lastOk !== null, 'a reading')
    expect(events(w).slice(2).toSorted()).toEqual([
      ['session:1', 'c'],
      ['session:2', null],
      ['session:3', ['x', 'y']],
    ])
  })

  test('says that notifications are off', async () => {
    const w = await world(SESSIONS)
    const gateway = await w.start()
    await until(() => gateway.status().error?.code === 'MESH_REDIS_NO_NOTIFICATIONS', 'the failure')
  })
})
