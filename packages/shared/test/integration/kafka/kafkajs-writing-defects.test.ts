import { randomUUID } from 'node:crypto'
import { afterAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { bytesText, type RecordToSend, textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import type { KafkaPort } from '../../../src/kafka/port.ts'
import { API, startKafkaProxy } from '../../../src/testing/kafka-proxy.ts'
import { plainClient } from '../../support/plain-kafkajs.ts'

const brokers = inject('kafkaBrokers').split(',')
/** What a busy broker does answer is answered by then. */
const REQUEST_TIMEOUT_MS = 5000
/**
 * What was answered shows a moment later: settings, which the controller has at once and the broker not yet, and transactions, whose
 * markers are written in the background.
 */
const SHOWN = { timeout: 60_000 }

describe('what plain kafkajs does wrong when it writes, beside the port', () => {
  const kafka: KafkaPort = connectKafka({ brokers, clientId: 'defects', producer: 'kafkajs' })
  let topic: string

  beforeEach(async () => {
    topic = `defect-${randomUUID()}`
    await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  })
  afterAll(() => kafka.close())

  const record = (text: string): RecordToSend => ({ partition: 0, key: null, value: textBytes(text), headers: [] })
  async function readAll(): Promise<string[]> {
    const seen: string[] = []
    const to = (await kafka.admin.offsets(topic))[0]!.lastStableOffset
    await kafka.readRanges(
      topic,
      [{ partition: 0, from: 0, to }],
      (batch) => void seen.push(...batch.records.map(({ value }) => bytesText(value!))),
    )
    return seen
  }

  describe('B2: sends overlap and the answer to the first is lost', () => {
    it('plain kafkajs resolves both, loses one of them and writes the other twice', async () => {
      const proxy = await startKafkaProxy(brokers[0]!)
      const producer = plainClient([proxy.address], { requestTimeout: REQUEST_TIMEOUT_MS }).producer({
        idempotent: true,
      })
      await producer.connect()
      proxy.intercept(({ apiKey, nth }) => (apiKey === API.produce && nth === 1 ? 'swallow-answer' : 'pass'))
      const send = (...texts: string[]): Promise<unknown> =>
        producer.send({ topic, messages: texts.map((value) => ({ value })) })
      await Promise.all([send('a1', 'a2'), send('b1', 'b2')])
      // Which of the two takes over the other's sequence numbers is a matter of their timers.
      const written = await readAll()
      expect([written.length, new Set(written).size]).toEqual([4, 2])
      await producer.disconnect()
      await proxy.close()
    })

    it('the port writes both once', async () => {
      const proxy = await startKafkaProxy(brokers[0]!)
      const own = connectKafka({
        brokers: [proxy.address],
        clientId: 'b2',
        producer: 'kafkajs',
        requestTimeoutMs: REQUEST_TIMEOUT_MS,
      })
      const producer = await own.producer()
      proxy.intercept(({ apiKey, nth }) => (apiKey === API.produce && nth === 1 ? 'swallow-answer' : 'pass'))
      const sends = ['a', 'b'].map((text) => producer.send(topic, [record(`${text}1`), record(`${text}2`)]))
      await Promise.all(sends)
      expect(await readAll()).toEqual(['a1', 'a2', 'b1', 'b2'])
      await own.close()
      await proxy.close()
    })
  })

  describe('B3: the end of a transaction is not answered', () => {
    it('plain kafkajs can never use the producer again', async () => {
      const proxy = await startKafkaProxy(brokers[0]!)
      const producer = plainClient([proxy.address]).producer({ transactionalId: topic, maxInFlightRequests: 1 })
      await producer.connect()
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ value: 'a' }] })
      proxy.intercept(({ apiKey }) => (apiKey === API.endTxn ? 'cut-after' : 'pass'))
      await expect(transaction.commit()).rejects.toThrow()
      proxy.intercept(null)
      const legal = /Cannot|once ended/
      await expect(transaction.commit()).rejects.toThrow(legal)
      await expect(transaction.abort()).rejects.toThrow(legal)
      await expect(producer.transaction()).rejects.toThrow(legal)
      await producer.disconnect()
      await proxy.close()
    })

    it('the port settles it and goes on', async () => {
      const proxy = await startKafkaProxy(brokers[0]!)
      const own = connectKafka({ brokers: [proxy.address], clientId: 'b3' })
      const producer = await own.transactional({ transactionalId: topic, group: topic, topics: [topic] })
      proxy.intercept(({ apiKey, nth }) => (apiKey === API.endTxn && nth === 1 ? 'cut-after' : 'pass'))
      for (const [i, text] of ['a', 'b'].entries()) {
        const progress = { nextOffset: i + 1, metadata: '' }
        await producer.transact({
          writes: [{ topic, records: [record(text)] }],
          offset: { topic, partition: 0, progress },
        })
      }
      await expect.poll(readAll, SHOWN).toEqual(['a', 'b'])
      await own.close()
      await proxy.close()
    })
  })

  describe('B4: the transactional id was taken over', () => {
    it('plain kafkajs begins transactions that can only fail, for ever', async () => {
      const [former, next] = [1, 2].map(() =>
        plainClient(brokers).producer({ transactionalId: topic, maxInFlightRequests: 1 }),
      )
      for (const producer of [former!, next!]) await producer.connect()
      await (await former!.transaction()).abort()
      await (await next!.transaction()).abort()
      for (let i = 0; i < 2; i++) {
        const transaction = await former!.transaction()
        await expect(transaction.send({ topic, messages: [{ value: 'zombie' }] })).rejects.toMatchObject({
          retriable: false,
        })
        await transaction.abort()
      }
      await Promise.all([former, next].map((producer) => producer!.disconnect()))
    })

    it('the port says that it is fenced; opened again, it goes on', async () => {
      const options = { transactionalId: topic, group: topic, topics: [topic] }
      const former = await kafka.transactional(options)
      await kafka.transactional(options)
      const step = {
        writes: [{ topic, records: [record('a')] }],
        offset: { topic, partition: 0, progress: { nextOffset: 1, metadata: '' } },
      }
      await expect(former.transact(step)).rejects.toMatchObject({ code: 'MESH_KAFKA_FENCED' })
      await (await kafka.transactional(options)).transact(step)
      await expect.poll(readAll, SHOWN).toEqual(['a'])
    })
  })

  describe('B11: a header is null', () => {
    it('plain kafkajs rejects the send', async () => {
      const producer = plainClient(brokers).producer()
      await producer.connect()
      const headers = { nothing: null as unknown as string }
      await expect(producer.send({ topic, messages: [{ value: 'a', headers }] })).rejects.toThrow(
        'must be of type string',
      )
      await producer.disconnect()
    })

    it('the port writes it and reads it back', async () => {
      const producer = await kafka.producer()
      await producer.send(topic, [{ ...record('a'), headers: [{ name: 'nothing', value: null }] }])
      const headers: unknown[] = []
      await kafka.readRanges(
        topic,
        [{ partition: 0, from: 0, to: 1 }],
        ({ records }) => void headers.push(...records[0]!.headers),
      )
      expect(headers).toEqual([{ name: 'nothing', value: null }])
    })
  })

  describe('B9: one setting of a topic is altered', () => {
    const settings = { 'retention.ms': '86400000', 'max.message.bytes': '2000000' }

    it('plain kafkajs puts all others back to their defaults', async () => {
      const limited = `${topic}-limited`
      await kafka.admin.ensureTopics([{ name: limited, partitions: 1, config: settings }])
      const admin = plainClient(brokers).admin()
      await admin.connect()
      const configEntries = [{ name: 'retention.ms', value: '3600000' }]
      await admin.alterConfigs({ validateOnly: false, resources: [{ type: 2, name: limited, configEntries }] })
      await expect.poll(() => kafka.admin.topicConfig(limited), SHOWN).toEqual({ 'retention.ms': '3600000' })
      await admin.disconnect()
    })

    it('the port keeps them, sets what is named and takes away what is null', async () => {
      const limited = `${topic}-limited`
      await kafka.admin.ensureTopics([{ name: limited, partitions: 1, config: settings }])
      await kafka.admin.alterTopicConfig(limited, { 'retention.ms': '3600000' })
      await expect
        .poll(() => kafka.admin.topicConfig(limited), SHOWN)
        .toEqual({ ...settings, 'retention.ms': '3600000' })
      await kafka.admin.alterTopicConfig(limited, { 'retention.ms': null })
      await expect.poll(() => kafka.admin.topicConfig(limited), SHOWN).toEqual({ 'max.message.bytes': '2000000' })
    })
  })
})
