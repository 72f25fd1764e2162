import { randomUUID } from 'node:crypto'
import { expect, inject, it } from 'vitest'
import { textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { until } from '../../../src/testing/until.ts'
import { plainClient } from '../../support/plain-kafkajs.ts'

const brokers = inject('kafkaBrokers').split(',')
/** The broker's least. */
const SESSION_TIMEOUT_MS = 6000

it('B5: a handler that takes long is expelled by plain kafkajs, and stays a member by the port', async () => {
  const kafka = connectKafka({ brokers, clientId: 'b5' })
  const topic = `b5-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: 1, config: {} }])
  // Plain kafkajs reads nothing else.
  const producer = await kafka.producer({ compression: 'none' })
  await producer.send(topic, [{ partition: 0, key: null, value: textBytes('x'), headers: [] }])
  const released = Promise.withResolvers<null>()
  const began: string[] = []
  const errors: unknown[] = []
  const own = kafka.consumer({
    groupId: `${topic}-port`,
    topics: [topic],
    onFatal: (error) => errors.push(error),
    assign: () =>
      Promise.resolve({
        position: 0,
        handler: {
          process() {
            began.push('port')
            return released.promise
          },
        },
      }),
  })
  await own.start()
  await until(() => began.includes('port'), "the port's handler")
  const plain = plainClient(brokers).consumer({
    groupId: `${topic}-plain`,
    sessionTimeout: SESSION_TIMEOUT_MS,
    heartbeatInterval: 1000,
    maxWaitTimeInMs: 100,
  })
  await plain.connect()
  await plain.subscribe({ topics: [topic], fromBeginning: true })
  await plain.run({
    async eachBatch() {
      began.push('plain')
      await released.promise
    },
  })
  await until(() => began.includes('plain'), "plain kafkajs's handler")

  const admin = plainClient(brokers).admin()
  await admin.connect()
  const members = async (group: string): Promise<number> =>
    (await admin.describeGroups([group])).groups[0]!.members.length
  await until(async () => (await members(`${topic}-plain`)) === 0, 'the expulsion')
  // Its handler began before the other's and is not through yet.
  expect(await members(`${topic}-port`)).toBe(1)
  expect(errors).toEqual([])
  released.resolve(null)
  await admin.disconnect()
  await plain.disconnect()
  await own.stop()
  await kafka.close()
})
