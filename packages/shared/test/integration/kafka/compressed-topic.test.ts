import { randomUUID } from 'node:crypto'
import { expect, inject, it } from 'vitest'
import type { RecordToSend } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { DECODED_BYTES_PER_PARTITION } from '../../../src/kafka/fetch-slices.ts'
import { API, startKafkaProxy } from '../../../src/testing/kafka-proxy.ts'

const [broker] = inject('kafkaBrokers').split(',')
const BATCHES = 400
const RECORDS = 8
const RECORD_BYTES = 100_000
const BATCH_BYTES = RECORDS * RECORD_BYTES

it('holds a few megabytes at a time of a topic that unpacks to hundreds, and reads all of it', async () => {
  const proxy = await startKafkaProxy(broker!)
  const kafka = connectKafka({ brokers: [proxy.address], clientId: 'compressed' })
  const topic = `compressed-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  const producer = await kafka.producer({ compression: 'zstd' })
  const value = new Uint8Array(RECORD_BYTES).fill(120)
  const batch = Array.from({ length: RECORDS }, (): RecordToSend => ({ partition: 0, key: null, value, headers: [] }))
  for (let i = 0; i < BATCHES; i++) await producer.send(topic, batch)

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
  expect(BATCHES * BATCH_BYTES).toBeGreaterThan(50 * most)
  // Each fetch brings something: what is dropped is not fetched over and over without an end.
  expect(proxy.count(API.fetch)).toBeLessThan(BATCHES)
  await kafka.close()
  await proxy.close()
})
