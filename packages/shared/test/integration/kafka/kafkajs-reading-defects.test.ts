import { randomUUID } from 'node:crypto'
import type * as KafkaJs from 'kafkajs'
import { afterAll, afterEach, beforeEach, describe, expect, inject, it } from 'vitest'
import { bytesText, type RecordToSend, textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import type { GroupConsumer, KafkaPort } from '../../../src/kafka/port.ts'
import { until } from '../../../src/testing/until.ts'
import { plainClient } from '../../support/plain-kafkajs.ts'

const brokers = inject('kafkaBrokers').split(',')

describe('what plain kafkajs does wrong when it reads, beside the port', () => {
  const kafka: KafkaPort = connectKafka({ brokers, clientId: 'defects' })
  let topic: string
  let group: string
  let plain: KafkaJs.Consumer
  const consumers: GroupConsumer[] = []

  beforeEach(async () => {
    topic = `defect-${randomUUID()}`
    group = `group-${randomUUID()}`
    await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
    plain = plainClient(brokers).consumer({ groupId: group, maxWaitTimeInMs: 100, retry: { retries: 0 } })
  })
  afterEach(async () => {
    await plain.disconnect()
    await Promise.all(consumers.splice(0).map((consumer) => consumer.stop()))
  })
  afterAll(() => kafka.close())

  const record = (text: string): RecordToSend => ({ partition: 0, key: null, value: textBytes(text), headers: [] })
  async function write(text: string, compression: 'none' | 'lz4' = 'none'): Promise<void> {
    const producer = await kafka.producer({ compression })
    await producer.send(topic, [record(text)])
    await producer.close()
  }

  type Run = { seen: string[]; crashes: { restart: boolean; message: string }[] }
  /** Runs the plain consumer over the topic, automatic commits off. */
  async function runPlain(onBatch: (texts: string[]) => void = () => undefined): Promise<Run> {
    const run: Run = { seen: [], crashes: [] }
    plain.on(plain.events.CRASH, ({ payload }) =>
      run.crashes.push({ restart: payload.restart, message: payload.error.message }),
    )
    await plain.connect()
    await plain.subscribe({ topics: [topic], fromBeginning: true })
    await plain.run({
      autoCommit: false,
      eachBatch({ batch }) {
        const texts = batch.messages.map(({ value }) => String(value))
        onBatch(texts)
        run.seen.push(...texts)
        return Promise.resolve()
      },
    })
    return run
  }
  async function runPort(position: number, onBatch: (texts: string[]) => void = () => undefined) {
    const run = { seen: [] as string[], errors: [] as unknown[] }
    const consumer = kafka.consumer({
      groupId: `${group}-port`,
      topics: [topic],
      onFatal: (error) => run.errors.push(error),
      assign: () =>
        Promise.resolve({
          position,
          handler: {
            process({ records, nextOffset }) {
              const texts = records.map(({ value }) => bytesText(value!))
              run.seen.push(...texts)
              onBatch(texts)
              return Promise.resolve({ nextOffset, metadata: 'own' })
            },
          },
        }),
    })
    consumers.push(consumer)
    await consumer.start()
    return run
  }

  describe('B1: two interleaved transactions are aborted, the later one first', () => {
    beforeEach(async () => {
      const producers = ['a', 'b'].map((id) =>
        plainClient(brokers).producer({ transactionalId: `${topic}-${id}`, maxInFlightRequests: 1 }),
      )
      for (const producer of producers) await producer.connect()
      const [first, second] = [await producers[0]!.transaction(), await producers[1]!.transaction()]
      for (const transaction of [first, second, first])
        await transaction.send({ topic, messages: [{ partition: 0, value: 'aborted' }] })
      await second.abort()
      await until(async () => (await kafka.admin.offsets(topic))[0]!.highWatermark === 4, 'the first marker')
      await first.abort()
      await until(async () => (await kafka.admin.offsets(topic))[0]!.lastStableOffset === 5, 'the second marker')
      for (const producer of producers) await producer.disconnect()
      await write('kept')
    })

    it('plain kafkajs delivers aborted records', async () => {
      const { seen } = await runPlain()
      await until(() => seen.includes('kept'), 'the record')
      expect(seen).toContain('aborted')
    })

    it('the port hides them', async () => {
      const { seen } = await runPort(0)
      await until(() => seen.includes('kept'), 'the record')
      expect(seen).toEqual(['kept'])
    })
  })

  describe('B10: the handler throws', () => {
    beforeEach(() => write('poison'))
    const broken = (): never => {
      throw new Error('broken')
    }

    it('plain kafkajs begins again, for ever', async () => {
      let calls = 0
      const { crashes } = await runPlain(() => {
        calls++
        broken()
      })
      await until(() => calls > 2 && crashes.length > 1, 'restarts')
      expect(crashes[0]).toMatchObject({ restart: true })
    })

    it('the port calls it once and ends the process', async () => {
      const { seen, errors } = await runPort(0, broken)
      await until(() => errors.length > 0, 'the failure')
      expect([seen, errors]).toEqual([['poison'], [expect.objectContaining({ message: 'broken' })]])
    })
  })

  describe('B12: a batch is compressed with lz4', () => {
    beforeEach(() => write('packed', 'lz4'))

    it('plain kafkajs crashes and lives on without a consumer', async () => {
      const { crashes } = await runPlain()
      const last = () => crashes.find(({ restart }) => !restart)
      await until(() => last() !== undefined, 'the crash that is its last')
      expect(last()).toMatchObject({ message: expect.stringContaining('LZ4') as string })
    })

    it('the port reads it', async () => {
      const { seen } = await runPort(0)
      await until(() => seen.length > 0, 'the record')
      expect(seen).toEqual(['packed'])
    })
  })

  describe('B13: the committed offset is not in the log', () => {
    beforeEach(() => write('only'))

    it('plain kafkajs commits -2, which is no offset, with automatic commits off', async () => {
      const admin = plainClient(brokers).admin()
      await admin.connect()
      await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '900' }] })
      await admin.disconnect()
      const { seen } = await runPlain()
      await until(() => seen.length > 0, 'a record')
      await admin.connect()
      const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
      expect(found!.partitions).toEqual([{ partition: 0, offset: '-2', metadata: null }])
      await admin.disconnect()
    })

    it('the port stops loudly and commits nothing', async () => {
      const { seen, errors } = await runPort(900)
      await until(() => errors.length > 0, 'the failure')
      expect(errors).toMatchObject([{ code: 'MESH_KAFKA_OFFSET_OUT_OF_RANGE' }])
      expect(seen).toEqual([])
      expect((await kafka.admin.committed(`${group}-port`, topic)).size).toBe(0)
    })
  })

  it('B14: the port answers each of several questions that are asked at once', async () => {
    const names = Array.from({ length: 8 }, (_, i) => `${topic}-${i}`)
    await kafka.admin.ensureTopics(names.map((name) => ({ name, partitions: 1, config: {} })))
    const empty = { partition: 0, logStartOffset: 0, highWatermark: 0, lastStableOffset: 0 }
    for (let i = 0; i < 5; i++) {
      const asked = names.map((name) => Promise.all([kafka.admin.offsets(name), kafka.admin.topicIds([name])]))
      expect((await Promise.all(asked)).map(([offsets, ids]) => [offsets, ids.size])).toEqual(
        names.map(() => [[empty], 1]),
      )
    }
  })

  describe('B15: a topic that was named is deleted', () => {
    async function remove(): Promise<void> {
      await kafka.admin.deleteTopics([topic])
      await until(async () => !(await kafka.admin.listTopics()).includes(topic), 'the deletion')
    }
    const other = (): string => `${topic}-other`
    beforeEach(() => kafka.admin.ensureTopics([{ name: other(), partitions: 1, config: {} }]))

    it('plain kafkajs fails for every other topic, for ever', async () => {
      const admin = plainClient(brokers).admin({ retry: { retries: 1, initialRetryTime: 50 } })
      await admin.connect()
      await admin.fetchTopicOffsets(topic)
      await remove()
      for (let i = 0; i < 3; i++) await expect(admin.fetchTopicOffsets(other())).rejects.toThrow('does not host this')
      await admin.disconnect()
    })

    it('the port goes on', async () => {
      await kafka.admin.offsets(topic)
      await remove()
      for (let i = 0; i < 3; i++) expect(await kafka.admin.offsets(other())).toHaveLength(1)
    })
  })
})
