import { randomUUID } from 'node:crypto'
import { expect, inject, it } from 'vitest'
import { bytesText, textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { until } from '../../../src/testing/until.ts'
import { plainClient } from '../../support/plain-kafkajs.ts'

const brokers = inject('kafkaBrokers').split(',')
/** So long plain kafkajs waits for records, and sleeps when it may read none; the port reads on much earlier, also on a busy machine. */
const SLEEP_MS = 10_000

it('B7: resumed while everything is paused, plain kafkajs sleeps on for seconds; the port reads on at once', async () => {
  const kafka = connectKafka({ brokers, clientId: 'b7' })
  const topic = `b7-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  const producer = await kafka.producer({ compression: 'none' })
  const write = (text: string) =>
    producer.send(topic, [{ partition: 0, key: null, value: textBytes(text), headers: [] }])
  const seen = { plain: [] as string[], port: [] as string[] }

  const plain = plainClient(brokers).consumer({ groupId: `${topic}-plain`, maxWaitTimeInMs: SLEEP_MS })
  let asleep = false
  plain.on(plain.events.FETCH_START, () => {
    asleep = seen.plain.length > 0
  })
  await plain.connect()
  await plain.subscribe({ topics: [topic], fromBeginning: true })
  await plain.run({
    eachMessage(payload) {
      seen.plain.push(String(payload.message.value))
      if (seen.plain.length === 1) payload.pause()
      return Promise.resolve()
    },
  })
  const port = kafka.consumer({
    groupId: `${topic}-port`,
    topics: [topic],
    onFatal: (error) => seen.port.push(String(error)),
    assign: () =>
      Promise.resolve({
        position: 0,
        handler: {
          process({ records, nextOffset }) {
            seen.port.push(...records.map(({ value }) => bytesText(value!)))
            if (seen.port.length === 1) port.pause(topic, 0)
            return Promise.resolve({ nextOffset, metadata: '' })
          },
        },
      }),
  })
  await port.start()

  await write('first')
  await until(() => asleep && seen.port.length === 1, 'both to be paused')
  plain.resume([{ topic }])
  port.resume(topic, 0)
  await write('second')
  await until(() => seen.port.length > 1, "the port's second record")
  expect(seen).toEqual({ plain: ['first'], port: ['first', 'second'] })
  await until(() => seen.plain.length > 1, "plain kafkajs's second record")
  expect(seen.plain).toEqual(['first', 'second'])
  await plain.disconnect()
  await port.stop()
  await producer.close()
  await kafka.close()
})
