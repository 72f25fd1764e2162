import { expect, it } from 'vitest'
import type { PartitionHandler } from '../../../src/kafka/port.ts'
import { describeKafkaPort, type KafkaUnderTest } from '../../../src/testing/kafka-contract.ts'
import { describeKafkaMembership } from '../../../src/testing/kafka-membership-contract.ts'
import { createMemoryKafka } from '../../../src/testing/memory-kafka.ts'
import { until } from '../../../src/testing/until.ts'
import { createVirtualScheduler } from '../../../src/testing/virtual-scheduler.ts'

const open = (): Promise<KafkaUnderTest> => {
  const kafka = createMemoryKafka()
  return Promise.resolve({ kafka, close: () => kafka.close() })
}
describeKafkaPort('in memory', open)
describeKafkaMembership('in memory', open)

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

it('expels a handler that is stuck, loudly, and another member takes its partition over', async () => {
  const scheduler = createVirtualScheduler()
  const kafka = createMemoryKafka({ scheduler })
  await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
  const producer = await kafka.producer()
  await producer.send('t', [{ partition: 0, key: null, value: null, headers: [] }])
  const errors: unknown[] = []
  const seen: string[] = []
  const join = (name: string, process: PartitionHandler['process']): Promise<void> =>
    kafka
      .client(name)
      .consumer({
        groupId: 'g',
        topics: ['t'],
        stallMs: 60_000,
        onFatal: (error) => errors.push(error),
        assign: () => Promise.resolve({ position: 0, handler: { process } }),
      })
      .start()
  await join('stuck', () => {
    seen.push('stuck')
    return new Promise(() => undefined)
  })
  await scheduler.runUntil(() => seen.includes('stuck'), 'the handler to be stuck')
  await join('next', ({ nextOffset }) => {
    seen.push('next')
    return Promise.resolve({ nextOffset, metadata: '' })
  })
  await scheduler.runUntil(() => errors.length > 0, 'the failure', 61_000)
  expect(errors).toMatchObject([{ code: 'MESH_KAFKA_FATAL', place: 't/0' }])
  await scheduler.runUntil(() => seen.includes('next'), 'the next owner', 1000)
  expect(seen).toEqual(['stuck', 'next'])
})

it('starts a partition again only after its former handler has drained', async () => {
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
  const producer = await kafka.producer()
  await producer.send('t', [{ partition: 0, key: null, value: null, headers: [] }])
  const log: string[] = []
  const writing = Promise.withResolvers<null>()
  let handlers = 0
  const consumer = kafka.consumer({
    groupId: 'g',
    topics: ['t'],
    onFatal: (error) => log.push(String(error)),
    assign() {
      const id = ++handlers
      log.push(`assign ${id}`)
      const process = (): Promise<null> => {
        log.push(`write ${id}`)
        return id === 1 ? writing.promise : Promise.resolve(null)
      }
      return Promise.resolve({
        position: 0,
        handler: {
          process,
          close() {
            log.push(`close ${id}`)
            return Promise.resolve(null)
          },
        },
      })
    },
  })
  await consumer.start()
  await until(() => log.includes('write 1'), 'the write')
  kafka.rebalance('g')
  await new Promise((resolve) => setImmediate(resolve))
  expect(log).toEqual(['assign 1', 'write 1'])
  writing.resolve(null)
  await until(() => log.includes('write 2'), 'the next handler')
  expect(log).toEqual(['assign 1', 'write 1', 'close 1', 'assign 2', 'write 2'])
  await consumer.stop()
})
