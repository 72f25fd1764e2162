import { randomUUID } from 'node:crypto'
import { expect, inject, it } from 'vitest'
import { bytesText, textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { kafkajs } from '../../../src/kafka/kafkajs-client.ts'
import { describeKafkaPort } from '../../../src/testing/kafka-contract.ts'
import { until } from '../../../src/testing/until.ts'

const brokers = inject('kafkaBrokers').split(',')

describeKafkaPort('kafkajs on a real broker', () => {
  const kafka = connectKafka({ brokers, clientId: 'contract' })
  return Promise.resolve({ kafka, close: () => kafka.close() })
})

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
  await second!.abort()
  await first!.abort()
  const plain = await kafka.producer()
  await plain.send(topic, [{ partition: 0, key: null, value: textBytes('kept'), headers: [] }])
  const last = await producers[0]!.transaction()
  await write(last, 'aborted 4')
  await last.abort()

  const end = (await kafka.admin.offsets(topic))[0]!
  expect(end.lastStableOffset).toBe(end.highWatermark)
  const seen: string[] = []
  let position = 0
  await kafka.readRanges(topic, [{ partition: 0, from: 0, to: end.highWatermark }], (batch) => {
    position = batch.nextOffset
    seen.push(...batch.records.map((record) => bytesText(record.value!)))
  })
  expect(seen).toEqual(['kept'])
  expect(position).toBe(end.highWatermark)
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
  await until(() => errors.length > 0, 'the failure', 30_000)
  expect(errors).toHaveLength(1)
  await kafka.close()
})
