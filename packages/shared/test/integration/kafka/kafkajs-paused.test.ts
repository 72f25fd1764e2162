import { randomUUID } from 'node:crypto'
import { expect, inject, it } from 'vitest'
import { bytesText, textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { until } from '../../../src/testing/until.ts'
import { plainClient } from '../../support/plain-kafkajs.ts'

const brokers = inject('kafkaBrokers').split(',')
/** A paused consumer has gone to sleep by then. */
const ASLEEP_MS = 500
const TOLD_MS = 60_000

it('B7: resumed while everything is paused, plain kafkajs sleeps on for seconds; the port reads on at once', async () => {
  const kafka = connectKafka({ brokers, clientId: 'b7' })
  const topic = `b7-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  const producer = await kafka.producer({ compression: 'none' })
  const write = (text: string) =>
    producer.send(topic, [{ partition: 0, key: null, value: textBytes(text), headers: [] }])
  const seen = { plain: [] as string[], port: [] as string[] }

  const plain = plainClient(brokers).consumer({ groupId: `${topic}-plain` })
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
  const resumed = async (whose: string[], resume: () => void): Promise<number> => {
    await until(() => whose.length === 1, 'the first record', TOLD_MS)
    const pausedAt = performance.now()
    await until(() => performance.now() - pausedAt > ASLEEP_MS, 'the sleep')
    const resumedAt = performance.now()
    resume()
    await write('second')
    await until(() => whose.includes('second'), 'the second record', TOLD_MS)
    return performance.now() - resumedAt
  }
  const [plainMs, portMs] = [
    await resumed(seen.plain, () => plain.resume([{ topic }])),
    await resumed(seen.port, () => port.resume(topic, 0)),
  ]
  expect(plainMs).toBeGreaterThan(3000)
  expect(portMs).toBeLessThan(plainMs / 2)
  await plain.disconnect()
  await port.stop()
  await producer.close()
  await kafka.close()
})
