import { expect, it } from 'vitest'
import { describeKafkaPort } from '../../../src/testing/kafka-contract.ts'
import { createMemoryKafka } from '../../../src/testing/memory-kafka.ts'
import { until } from '../../../src/testing/until.ts'

describeKafkaPort('in memory', () => {
  const kafka = createMemoryKafka()
  return Promise.resolve({ kafka, close: () => kafka.close() })
})

it('stops loudly, and commits nothing, when a topic is deleted and created again', async () => {
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
  const errors: unknown[] = []
  const consumer = kafka.consumer({
    groupId: 'g',
    topics: ['t'],
    tickMs: 1,
    onFatal: (error) => errors.push(error),
    assign: () =>
      Promise.resolve({
        position: 0,
        handler: { process: ({ nextOffset }) => Promise.resolve({ nextOffset, metadata: '' }) },
      }),
  })
  await consumer.start()
  const producer = await kafka.producer()
  const one = [{ partition: 0, key: null, value: null, headers: [] }]
  await producer.send('t', one)
  await until(async () => (await kafka.admin.committed('g', 't')).get(0)?.offset === 1, 'the commit')
  kafka.recreate('t')
  await producer.send('t', [...one, ...one])
  await until(() => errors.length > 0, 'the failure')
  expect(errors).toMatchObject([{ code: 'MESH_KAFKA_TOPIC_RECREATED', place: 't' }])
  expect((await kafka.admin.committed('g', 't')).get(0)?.offset).toBe(1)
})
