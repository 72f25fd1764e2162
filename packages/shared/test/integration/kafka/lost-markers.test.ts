import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type OwnBroker, startOwnBroker } from '../../../../../tests/setup/own-broker.ts'
import { bytesText, textBytes } from '../../../src/core/record.ts'
import { type ConnectedKafka, connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { API, type KafkaProxy, startKafkaProxy } from '../../../src/testing/kafka-proxy.ts'
import { until } from '../../../src/testing/until.ts'
import { plainClient } from '../../support/plain-kafkajs.ts'

const BROKER_RESOURCE = 4
const NO_ERROR = Buffer.alloc(8)

/**
 * A transaction without markers, as Kafka leaves one behind after KAFKA-20734. The moment in which a broker makes one does not last, so
 * a proxy makes it: it answers in the coordinator's place, which then knows nothing of the records. That takes a broker that does not
 * ask its coordinator (`transaction.partition.verification.enable`), so the test has one of its own.
 */
describe('a transaction whose markers were lost', () => {
  let broker: OwnBroker
  let kafka: ConnectedKafka
  let proxy: KafkaProxy
  let topic: string
  let input: string

  beforeAll(async () => {
    broker = await startOwnBroker('lost-markers')
    const brokers = [broker.stack.addresses.kafkaBrokers]
    const admin = plainClient(brokers).admin()
    await admin.connect()
    const configEntries = [{ name: 'transaction.partition.verification.enable', value: 'false' }]
    const resource = { type: BROKER_RESOURCE, name: '1' }
    await admin.alterConfigs({ validateOnly: false, resources: [{ ...resource, configEntries }] })
    // The controller has it at once, the broker a moment later.
    const taken = async (): Promise<boolean> => {
      const resources = [{ ...resource, configNames: configEntries.map(({ name }) => name) }]
      const described = await admin.describeConfigs({ resources, includeSynonyms: false })
      return described.resources[0]!.configEntries[0]?.configValue === 'false'
    }
    await until(taken, 'the broker to take its setting')
    await admin.disconnect()
    kafka = connectKafka({ brokers, clientId: 'lost-markers' })
    proxy = await startKafkaProxy(brokers[0]!)
  })
  afterAll(async () => {
    await kafka?.close()
    await proxy?.close()
    await broker?.stop()
  })
  beforeEach(async () => {
    topic = `out-${randomUUID()}`
    input = `in-${randomUUID()}`
    await kafka.admin.ensureTopics([topic, input].map((name) => ({ name, partitions: 2, config: {} })))
  })

  /** An owner whose one transaction on partition 0 ends as said, and whose next, on partition 1, has no end in any log. */
  async function leave(end: 'commit' | 'abort'): Promise<void> {
    const producer = plainClient([proxy.address]).producer({ transactionalId: topic, maxInFlightRequests: 1 })
    await producer.connect()
    const first = await producer.transaction()
    await first.send({ topic, messages: [{ partition: 0, value: 'first' }] })
    await first[end]()
    const forged: number[] = [API.addPartitionsToTxn, API.addOffsetsToTxn, API.endTxn]
    const lost = await producer.transaction()
    proxy.answer(({ apiKey }) => (forged.includes(apiKey) ? NO_ERROR : null))
    await lost.send({ topic, messages: [{ partition: 1, value: 'lost' }] })
    const topics = [{ topic: input, partitions: [{ partition: 0, offset: '7', metadata: 'books' }] }]
    await lost.sendOffsets({ consumerGroupId: topic, topics } as Parameters<typeof lost.sendOffsets>[0])
    await lost.commit()
    proxy.answer(null)
    await producer.disconnect()
    expect((await kafka.admin.offsets(topic))[1]).toMatchObject({ lastStableOffset: 0, highWatermark: 1 })
  }

  /** An owner of the port whose connections can be broken. */
  async function behindProxy() {
    const own = connectKafka({ brokers: [proxy.address], clientId: 'behind-proxy' })
    return { own, producer: await own.transactional({ transactionalId: topic, group: topic, topics: [topic] }) }
  }

  const step = (nextOffset: number, text: string) => ({
    writes: [{ topic, records: [record(text)] }],
    offset: { topic: input, partition: 0, progress: { nextOffset, metadata: text } },
  })

  /** Of a partition on which nothing is open any more; the last marker is written in the background. */
  async function committed(partition: number): Promise<string[]> {
    const ends = async () => (await kafka.admin.offsets(topic))[partition]!
    const isEnded = async (): Promise<boolean> => {
      const { lastStableOffset, highWatermark } = await ends()
      return lastStableOffset === highWatermark
    }
    await until(isEnded, 'the last marker')
    const { lastStableOffset: to } = await ends()
    const seen: string[] = []
    await kafka.readRanges(
      topic,
      [{ partition, from: 0, to }],
      ({ records }) => void seen.push(...records.map(({ value }) => bytesText(value!))),
    )
    return seen
  }

  const record = (text: string) => ({ partition: 1, key: null, value: textBytes(text), headers: [] })
  const owner = () => kafka.transactional({ transactionalId: topic, group: topic, topics: [topic] })

  it('plain Kafka and kafkajs commit it with the next one, although it was aborted', async () => {
    await leave('abort')
    const next = plainClient([broker.stack.addresses.kafkaBrokers]).producer({
      transactionalId: topic,
      maxInFlightRequests: 1,
    })
    await next.connect()
    const transaction = await next.transaction()
    await transaction.send({ topic, messages: [{ partition: 1, value: 'next' }] })
    await transaction.commit()
    await next.disconnect()
    expect(await committed(1)).toEqual(['lost', 'next'])
  })

  it('the port ends it as its coordinator had decided: aborted', async () => {
    await leave('abort')
    const producer = await owner()
    expect(await producer.committed(input, 0)).toBeNull()
    expect(await committed(1)).toEqual([])
    const offset = { topic: input, partition: 0, progress: { nextOffset: 1, metadata: '' } }
    await producer.transact({ writes: [{ topic, records: [record('next')] }], offset })
    await producer.close()
    expect(await committed(1)).toEqual(['next'])
    expect(await committed(0)).toEqual([])
  })

  it('the port ends it as its coordinator had decided: committed, with the group’s offset', async () => {
    await leave('commit')
    const producer = await owner()
    expect(await producer.committed(input, 0)).toEqual({ offset: 7, metadata: 'books' })
    expect(await committed(1)).toEqual(['lost'])
    const offset = { topic: input, partition: 0, progress: { nextOffset: 8, metadata: '' } }
    await producer.transact({ writes: [{ topic, records: [record('next')] }], offset })
    expect(await producer.committed(input, 0)).toEqual({ offset: 8, metadata: '' })
    await producer.close()
    expect(await committed(1)).toEqual(['lost', 'next'])
  })

  it('what an owner in between did not get to settle is committed: its end may have been confirmed', async () => {
    await leave('commit')
    const between = plainClient([broker.stack.addresses.kafkaBrokers]).producer({
      transactionalId: topic,
      maxInFlightRequests: 1,
    })
    await between.connect()
    await between.transaction()
    await between.disconnect()
    const producer = await owner()
    expect(await producer.committed(input, 0)).toEqual({ offset: 7, metadata: 'books' })
    await producer.close()
    expect(await committed(1)).toEqual(['lost'])
  })

  it('an owner whose connection broke settles what it left before it writes again', async () => {
    const { own, producer } = await behindProxy()
    await producer.transact(step(1, 'a'))
    const taken = proxy.count(API.initProducerId)
    await producer.transact(step(2, 'b'))
    expect(proxy.count(API.initProducerId)).toBe(taken)
    proxy.cut()
    proxy.accept()
    await producer.transact(step(3, 'c'))
    expect(proxy.count(API.initProducerId)).toBe(taken + 1)
    await own.close()
    expect(await committed(1)).toEqual(['a', 'b', 'c'])
  })

  it('an owner whose connection breaks as it begins to write settles first, and writes once', async () => {
    const { own, producer } = await behindProxy()
    await producer.transact(step(1, 'a'))
    const taken = proxy.count(API.initProducerId)
    const begin = proxy.count(API.addPartitionsToTxn) + 1
    // A broker that is killed here is back before kafkajs has given up repeating the request.
    proxy.intercept(({ apiKey, nth }) => (apiKey === API.addPartitionsToTxn && nth === begin ? 'cut-before' : 'pass'))
    await producer.transact(step(2, 'b'))
    proxy.intercept(null)
    expect(proxy.count(API.initProducerId)).toBe(taken + 1)
    expect(await producer.committed(input, 0)).toEqual({ offset: 2, metadata: 'b' })
    await own.close()
    expect(await committed(1)).toEqual(['a', 'b'])
  })
})
