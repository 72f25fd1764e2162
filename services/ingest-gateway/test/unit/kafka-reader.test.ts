import { MeshError } from '@mesh/shared/core/errors'
import { bytesText, header, headerText, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import type { KafkaSource } from '@mesh/shared/core/source'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { buildIngest, type RawIngest } from '@mesh/shared/schema/contract-ingest'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { until } from '@mesh/shared/testing/until'
import { expect, test } from 'vitest'
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

const SOURCE: KafkaSource = {
  name: 'legacy',
  description: '',
  owner: '',
  kind: 'kafka',
  brokers: 'legacy:9092',
  tls: false,
  sasl: null,
  registry: null,
}

type World = {
  readonly mesh: MemoryKafka
  readonly foreign: MemoryKafka
  readonly stream: IngestStream
  start(mesh?: KafkaPort): Promise<PollingGateway>
  send(records: readonly RecordToSend[]): Promise<void>
  raw(): ReturnType<typeof rawRecords>
}

async function world(ingest: Partial<RawIngest> = {}, key: readonly string[] = []): Promise<World> {
  const [mesh, foreign] = [createMemoryKafka(), createMemoryKafka()]
  const stream = polledStream(buildIngest({ kind: 'kafka', source: 'legacy', topic: 'orders', ...ingest }), SOURCE, {
    key,
  })
  await createTopics(mesh, stream)
  await foreign.admin.ensureTopics([{ name: 'orders', partitions: 3, config: {} }])
  const producer = await foreign.producer()
  return {
    mesh,
    foreign,
    stream,
    async start(own: KafkaPort = mesh) {
      // A process has one client of each cluster: what kills one kills the other.
      const gateway = await startPolling(own, stream, {
        ports: [],
        foreign: () => foreign.client(`gateway-${open.length}`),
      })
      open.push(gateway)
      return gateway
    },
    send: async (records) => void (await producer.send('orders', records)),
    raw: () => rawRecords(mesh, stream),
  }
}

const order = (n: number, partition = n % 3): RecordToSend => ({
  partition,
  key: textBytes(`customer-${n % 5}`),
  value: textBytes(JSON.stringify({ n, customer: `customer-${n % 5}` })),
  headers: [header('trace', `t${n}`), header('mesh-src', 'main;x;0;0;0'), header('ce_id', 'theirs')],
  timestamp: Date.UTC(2026, 0, 1) + n,
})
const ids = (w: World): (string | null)[] => w.raw().map(({ headers }) => headerText(headers, 'ce_id'))

test('a foreign topic is copied: key, value and headers as they are, under ids that say where they come from', async () => {
  const w = await world()
  await w.send(Array.from({ length: 30 }, (_, n) => order(n)))
  const gateway = await w.start()
  await until(() => w.raw().length === 30, 'all orders')
  const expected = [0, 1, 2].flatMap((p) => Array.from({ length: 10 }, (_, o) => `legacy:orders:${p}:${o}`))
  expect(ids(w).toSorted()).toEqual(expected.toSorted())
  const seventh = w.raw().find(({ headers }) => headerText(headers, 'ce_id') === 'legacy:orders:1:2')!
  expect(bytesText(seventh.value!)).toBe('{"n":7,"customer":"customer-2"}')
  expect(bytesText(seventh.key!)).toBe('customer-2')
  expect(headerText(seventh.headers, 'trace')).toBe('t7')
  expect(headerText(seventh.headers, 'mesh-src')).toBeNull()
  expect(headerText(seventh.headers, 'ce_time')).toBe('2026-01-01T00:00:00.007Z')
  await until(() => JSON.stringify(gateway.status().cursor) === '{"0":10,"1":10,"2":10}', 'the position')
})

test('order per key is the foreign one', async () => {
  const w = await world()
  // As their partitioner would: a key has one partition.
  await w.send(Array.from({ length: 60 }, (_, n) => order(n, (n % 5) % 3)))
  await w.start()
  await until(() => w.raw().length === 60, 'all orders')
  for (let p = 0; p < w.stream.partitions; p++) {
    const own = w.mesh.log(w.stream.rawTopic, p)
    for (const key of new Set(own.map((record) => bytesText(record.key!)))) {
      const numbers = own
        .filter((record) => bytesText(record.key!) === key)
        .map(({ value }) => (JSON.parse(bytesText(value!)) as { n: number }).n)
      expect(numbers).toEqual(numbers.toSorted((a, b) => a - b))
    }
  }
})

test('restarted and rebalanced, every record is copied once', async () => {
  const w = await world()
  await w.send(Array.from({ length: 30 }, (_, n) => order(n)))
  const first = await w.start()
  await until(() => w.raw().length > 0, 'the first')
  await first.stop()
  const two = await w.start(w.mesh.client('two'))
  await w.send(Array.from({ length: 30 }, (_, n) => order(30 + n)))
  await w.start(w.mesh.client('three'))
  await w.send(Array.from({ length: 30 }, (_, n) => order(60 + n)))
  await until(() => w.raw().length >= 90, 'all orders')
  await two.stop()
  await w.send([order(90)])
  await until(() => w.raw().length >= 91, 'one more')
  expect(ids(w)).toHaveLength(91)
  expect(new Set(ids(w)).size).toBe(91)
}, 120_000)

test('a topic that was made anew is another topic: nothing of it is read', async () => {
  const w = await world()
  await w.send([order(0), order(1)])
  const gateway = await w.start()
  await until(() => w.raw().length === 2, 'both')
  await gateway.stop()
  w.foreign.recreate('orders')
  await w.send([order(2), order(3), order(4)])
  const again = await w.start()
  await until(() => again.status().error?.code === 'MESH_SOURCE_TOPIC_RECREATED', 'the stop')
  expect(w.raw()).toHaveLength(2)
})

test('what retention took before it was read is counted, and the rest is copied', async () => {
  const w = await world()
  await w.send(Array.from({ length: 6 }, (_, n) => order(n, 0)))
  const first = await w.start()
  await until(() => w.raw().length === 6, 'the first')
  await first.stop()
  await w.send(Array.from({ length: 6 }, (_, n) => order(n, 0)))
  w.foreign.trim('orders', 0, 10)
  const second = await w.start()
  await until(() => w.raw().length === 8, 'the rest')
  expect(second.lost).toEqual([4])
})

test('from the end means from the end of the first time', async () => {
  const w = await world({ from: 'end' })
  await w.send([order(0)])
  const first = await w.start()
  await until(() => first.status().leads, 'the partitions')
  await until(() => w.mesh.log('mesh.cursors', 0).length >= 3, 'the positions')
  await first.stop()
  await w.send([order(1)])
  await w.start()
  await until(() => w.raw().length > 0, 'the one in between')
  expect(ids(w)).toEqual(['legacy:orders:1:0'])
})

test('a null value is a delete of its key; bytes are wrapped where asked', async () => {
  const w = await world({ format: 'bytes' })
  await w.send([
    { partition: 0, key: textBytes('k'), value: null, headers: [] },
    { partition: 0, key: null, value: new Uint8Array([255, 0]), headers: [] },
  ])
  await w.start()
  await until(() => w.raw().length === 2, 'both')
  const [gone] = w.raw().filter(({ value }) => value === null)
  const [wrapped] = w.raw().filter(({ value }) => value !== null)
  expect(bytesText(gone!.key!)).toBe('k')
  expect(bytesText(wrapped!.value!)).toBe('{"bytes":"/wA="}')
  expect(bytesText(wrapped!.key!)).toBe('legacy:orders:0:1')
})

test('a cluster that refuses the login is told and asked again with growing pauses, and nothing is lost when it takes it', async () => {
  const w = await world()
  await w.send([order(0, 0), order(1, 1)])
  let tries = 0
  let isRefused = true
  const gateway = await startPolling(w.mesh, w.stream, {
    ports: [],
    foreign() {
      tries++
      if (isRefused) throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'SASL PLAIN authentication failed')
      return w.foreign.client(`gateway-${tries}`)
    },
  })
  open.push(gateway)
  await until(() => gateway.status().state === 'failing', 'the refusal')
  expect(gateway.status().error?.message).toContain('authentication failed')
  const [begun, since] = [tries, Date.now()]
  await until(() => Date.now() - since > 3000, 'some time')
  // After 0.25, 0.5, 1 and 2 s at least.
  expect(tries - begun).toBeLessThanOrEqual(4)
  isRefused = false
  await until(() => w.raw().length === 2, 'both')
  // It is told after the commit that makes them visible.
  await until(() => gateway.status().state !== 'failing', 'health')
}, 120_000)

test('a topic that is not there is told, and read once it is', async () => {
  const w = await world({ topic: 'later' })
  const gateway = await w.start()
  await until(() => gateway.status().error?.code === 'MESH_SOURCE_TOPIC_UNKNOWN', 'the failure')
  await w.foreign.admin.ensureTopics([{ name: 'later', partitions: 1, config: {} }])
  await (await w.foreign.producer()).send('later', [order(0, 0)])
  await until(() => w.raw().length === 1, 'the record')
  await until(() => gateway.status().state !== 'failing', 'health')
})
