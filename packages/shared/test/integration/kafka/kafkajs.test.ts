import { randomUUID } from 'node:crypto'
import { expect, inject, it } from 'vitest'
import { bytesText, type RecordToSend, textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { kafkajs } from '../../../src/kafka/kafkajs-client.ts'
import type { GroupConsumer } from '../../../src/kafka/port.ts'
import { describeKafkaPort, type KafkaUnderTest } from '../../../src/testing/kafka-contract.ts'
import { describeKafkaMembership } from '../../../src/testing/kafka-membership-contract.ts'
import { until } from '../../../src/testing/until.ts'

const brokers = inject('kafkaBrokers').split(',')

const open = (): Promise<KafkaUnderTest> => {
  const kafka = connectKafka({ brokers, clientId: 'contract', producer: 'kafkajs' })
  return Promise.resolve({ kafka, close: () => kafka.close() })
}
describeKafkaPort('kafkajs on a real broker', open)
describeKafkaMembership('kafkajs on a real broker', open)

it('hides interleaved aborted transactions and finishes on position behind their markers', async () => {
  const kafka = connectKafka({ brokers, clientId: 'aborted' })
  const topic = `aborted-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  const client = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING })
  const producers = await Promise.all(
    ['a', 'b'].map(async (id) => {
      const producer = client.producer({ idempotent: true, maxInFlightRequests: 1, transactionalId: `${topic}-${id}` })
      await producer.connect()
      return producer
    }),
  )
  const [first, second] = await Promise.all(producers.map((producer) => producer.transaction()))
  const write = (transaction: typeof first, text: string): Promise<unknown> =>
    transaction!.send({ topic, messages: [{ partition: 0, key: Buffer.from([0, 0, 0, 0]), value: text }] })
  await write(first, 'aborted 1')
  await write(second, 'aborted 2')
  await write(first, 'aborted 3')
  const end = async () => (await kafka.admin.offsets(topic))[0]!
  // A marker is written in the background, once the end of its transaction was answered.
  await second!.abort()
  await until(async () => (await end()).highWatermark === 4, 'the first marker')
  await first!.abort()
  await until(async () => (await end()).lastStableOffset === 5, 'the second marker')
  const plain = await kafka.producer()
  await plain.send(topic, [{ partition: 0, key: null, value: textBytes('kept'), headers: [] }])
  const last = await producers[0]!.transaction()
  await write(last, 'aborted 4')
  await last.abort()

  await until(async () => (await end()).lastStableOffset === 8, 'the last marker')
  const { highWatermark } = await end()
  const seen: string[] = []
  let position = 0
  await kafka.readRanges(topic, [{ partition: 0, from: 0, to: highWatermark }], (batch) => {
    position = batch.nextOffset
    seen.push(...batch.records.map((record) => bytesText(record.value!)))
  })
  expect(seen).toEqual(['kept'])
  expect([position, highWatermark]).toEqual([8, 8])
  await Promise.all(producers.map((producer) => producer.disconnect()))
  await kafka.close()
})

it('stops loudly when a topic is deleted and created again', async () => {
  const kafka = connectKafka({ brokers, clientId: 'recreated' })
  const topic = `recreated-${randomUUID()}`
  const spec = { name: topic, partitions: 1, config: {} }
  await kafka.admin.ensureTopics([spec])
  const errors: unknown[] = []
  const consumer = kafka.consumer({
    groupId: randomUUID(),
    topics: [topic],
    tickMs: 50,
    onFatal: (error) => errors.push(error),
    assign: () =>
      Promise.resolve({
        position: 0,
        handler: { process: () => Promise.resolve(null), tick: () => Promise.resolve({ nextOffset: 0, metadata: '' }) },
      }),
  })
  await consumer.start()
  await until(() => consumer.positions().size === 1, 'the assignment')
  await kafka.admin.deleteTopics([topic])
  await until(async () => !(await kafka.admin.listTopics()).includes(topic), 'the deletion')
  await kafka.admin.ensureTopics([spec])
  await until(() => errors.length > 0, 'the failure')
  expect(errors).toHaveLength(1)
  await kafka.close()
})

it('writes the neighbours of a refused call once, also in other partitions', async () => {
  const kafka = connectKafka({ brokers, clientId: 'refused', producer: 'kafkajs' })
  const topic = `refused-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 2, config: { 'max.message.bytes': '2000' } }])
  const producer = await kafka.producer({ compression: 'none' })
  const record = (partition: number, bytes: number): RecordToSend => ({
    partition,
    key: null,
    value: new Uint8Array(bytes),
    headers: [],
  })
  const sent = await Promise.allSettled([
    producer.send(topic, [record(0, 10)]),
    producer.send(topic, [record(1, 10)]),
    producer.send(topic, [record(0, 4000)]),
    producer.send(topic, [record(0, 20), record(1, 20)]),
  ])
  expect(sent).toMatchObject([
    { value: [0] },
    { value: [0] },
    { reason: { code: 'MESH_KAFKA_RECORD_TOO_LARGE', place: topic } },
    { value: [1, 1] },
  ])
  expect(await producer.send(topic, [record(1, 30), record(0, 30)])).toEqual([2, 2])
  const sizes: number[][] = [[], []]
  const ranges = (await kafka.admin.offsets(topic)).map(({ partition, highWatermark: to }) => ({
    partition,
    from: 0,
    to,
  }))
  await kafka.readRanges(topic, ranges, ({ partition, records }) => {
    sizes[partition]!.push(...records.map(({ value }) => value!.byteLength))
  })
  expect(sizes).toEqual([
    [10, 20, 30],
    [10, 20, 30],
  ])
  await kafka.close()
})

it('has caught up while a transaction is open, at the last stable offset', async () => {
  const kafka = connectKafka({ brokers, clientId: 'open' })
  const topic = `open-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  const client = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING })
  const transactional = client.producer({ idempotent: true, maxInFlightRequests: 1, transactionalId: topic })
  await transactional.connect()
  const plain = await kafka.producer()
  const text = (value: string): RecordToSend[] => [{ partition: 0, key: null, value: textBytes(value), headers: [] }]
  await plain.send(topic, text('before'))
  const transaction = await transactional.transaction()
  await transaction.send({ topic, messages: [{ partition: 0, value: 'open' }] })
  await plain.send(topic, text('behind'))
  expect(await kafka.admin.offsets(topic)).toEqual([
    { partition: 0, logStartOffset: 0, highWatermark: 3, lastStableOffset: 1 },
  ])
  const seen: string[] = []
  const follower = await kafka.follow(topic, {
    from: 'start',
    onBatch: (batch) => void seen.push(...batch.records.map((record) => bytesText(record.value!))),
    onFatal: (error) => seen.push(String(error)),
  })
  await follower.caughtUp
  expect(seen).toEqual(['before'])
  await transaction.commit()
  await until(() => seen.length === 3, 'what was open')
  expect(seen).toEqual(['before', 'open', 'behind'])
  await follower.stop()
  await transactional.disconnect()
  await kafka.close()
})

it('goes on with other topics when one that it knew is deleted', async () => {
  const kafka = connectKafka({ brokers, clientId: 'deleted' })
  const [gone, kept] = [`gone-${randomUUID()}`, `kept-${randomUUID()}`] as const
  await kafka.admin.ensureTopics([gone, kept].map((name) => ({ name, partitions: 1, config: {} })))
  const producer = await kafka.producer()
  const record = { partition: 0, key: null, value: textBytes('x'), headers: [] }
  for (const topic of [gone, kept]) {
    await producer.send(topic, [record])
    await kafka.admin.offsets(topic)
    await kafka.admin.committed('nobody', topic)
    await kafka.admin.offsetsAtTime(topic, 0)
  }
  await kafka.admin.deleteTopics([gone])
  await until(async () => !(await kafka.admin.listTopics()).includes(gone), 'the deletion')
  expect(await producer.send(kept, [record])).toEqual([1])
  expect((await kafka.admin.offsets(kept))[0]?.highWatermark).toBe(2)
  expect((await kafka.admin.committed('nobody', kept)).size).toBe(0)
  expect(await kafka.admin.partitionCount(gone)).toBe(0)
  await kafka.close()
})

it('leaves the group, loudly, when a handler is stuck, and another member takes its partition over', async () => {
  const kafka = connectKafka({ brokers, clientId: 'stuck' })
  const topic = `stuck-${randomUUID()}`
  const groupId = randomUUID()
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  const producer = await kafka.producer()
  await producer.send(topic, [{ partition: 0, key: null, value: textBytes('x'), headers: [] }])
  const errors: unknown[] = []
  const seen: string[] = []
  const join = (name: string, stallMs: number, work: () => Promise<null>): GroupConsumer =>
    kafka.consumer({
      groupId,
      topics: [topic],
      stallMs,
      onFatal: (error) => errors.push(error),
      assign: () =>
        Promise.resolve({
          position: 0,
          handler: {
            process() {
              seen.push(name)
              return work()
            },
          },
        }),
    })
  await join('stuck', 1500, () => new Promise(() => undefined)).start()
  await until(() => errors.length > 0, 'the failure')
  expect(errors).toMatchObject([{ code: 'MESH_KAFKA_FATAL', place: `${topic}/0` }])
  const next = join('next', 60_000, () => Promise.resolve(null))
  await next.start()
  await until(() => seen.includes('next'), 'the next owner')
  expect(seen).toEqual(['stuck', 'next'])
  await next.stop()
  await kafka.close()
})
