import { randomUUID } from 'node:crypto'
import { zstdDecompressSync } from 'node:zlib'
import { expect, inject, it } from 'vitest'
import type { RecordToSend } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { DECODED_BYTES_PER_PARTITION } from '../../../src/kafka/fetch-slices.ts'
import type { KafkaPort } from '../../../src/kafka/port.ts'
import { API, startKafkaProxy } from '../../../src/testing/kafka-proxy.ts'
import { plainClient, plainKafkajs } from '../../support/plain-kafkajs.ts'

const [broker] = inject('kafkaBrokers').split(',')
const BATCHES = 160
const RECORDS = 8
const RECORD_BYTES = 100_000
const BATCH_BYTES = RECORDS * RECORD_BYTES

it('holds a few megabytes at a time of a topic that unpacks to a hundred, and reads all of it', async () => {
  const proxy = await startKafkaProxy(broker!)
  const kafka = connectKafka({ brokers: [proxy.address], clientId: 'compressed' })
  const topic = await compressedTopic(kafka, BATCHES)

  let records = 0
  let most = 0
  await kafka.readRanges(topic, [{ partition: 0, from: 0, to: BATCHES * RECORDS }], (read) => {
    records += read.records.length
    most = Math.max(
      most,
      read.records.reduce((sum, record) => sum + record.value!.byteLength, 0),
    )
  })
  expect(records).toBe(BATCHES * RECORDS)
  // All of it lies in one fetch on the wire; no more than the bound and one record batch is in memory.
  expect(most).toBeLessThanOrEqual(DECODED_BYTES_PER_PARTITION + BATCH_BYTES)
  expect(BATCHES * BATCH_BYTES).toBeGreaterThan(20 * most)
  // Each fetch brings something: what is dropped is not fetched over and over without an end.
  expect(proxy.count(API.fetch)).toBeLessThan(BATCHES)
  await kafka.close()
  await proxy.close()
})

it('is unpacked whole by plain kafkajs before its handler sees the first record', async () => {
  const { CompressionCodecs, CompressionTypes } = plainKafkajs
  CompressionCodecs[CompressionTypes.ZSTD] = () => ({
    compress: () => Promise.reject(new Error('it only reads')),
    decompress: (bytes: Buffer) => Promise.resolve(zstdDecompressSync(bytes)),
  })
  const kafka = connectKafka({ brokers: [broker!], clientId: 'compressed' })
  const topic = await compressedTopic(kafka, BATCHES / 4)
  const consumer = plainClient([broker!]).consumer({ groupId: topic, maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const first = Promise.withResolvers<number>()
  await consumer.run({
    eachBatch({ batch }) {
      first.resolve(batch.messages.reduce((sum, { value }) => sum + value!.length, 0))
      return Promise.resolve()
    },
  })
  expect(await first.promise).toBe((BATCHES / 4) * BATCH_BYTES)
  await consumer.disconnect()
  await kafka.close()
})

async function compressedTopic(kafka: KafkaPort, batches: number): Promise<string> {
  const topic = `compressed-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  const producer = await kafka.producer({ compression: 'zstd' })
  const value = new Uint8Array(RECORD_BYTES).fill(120)
  const batch = Array.from({ length: RECORDS }, (): RecordToSend => ({ partition: 0, key: null, value, headers: [] }))
  for (let i = 0; i < batches; i++) await producer.send(topic, batch)
  return topic
}
