import type * as KafkaJs from 'kafkajs'
import { beforeEach, expect, it, vi } from 'vitest'
import { createKafkaJsAdmin } from '../../../src/kafka/kafkajs-admin.ts'

type Asked = { topics: { partitions: { timestamp: bigint }[] }[]; isolationLevel: number }

/** A log that moves each time it is looked at. */
const log = { low: 0, stable: 0, high: 0, move: (): void => undefined }

vi.mock('@platformatic/kafka', () => ({
  Admin: class {
    metadata(): Promise<unknown> {
      return Promise.resolve({ topics: new Map([['t', { partitionsCount: 1 }]]) })
    }

    listOffsets(asked: Asked): Promise<unknown> {
      const { timestamp } = asked.topics[0]!.partitions[0]!
      const latest = asked.isolationLevel === 1 ? log.stable : log.high
      const offset = BigInt(timestamp === -2n ? log.low : timestamp === -1n ? latest : -1)
      log.move()
      return Promise.resolve([{ partitions: [{ partitionIndex: 0, offset }] }])
    }
  },
}))

const client = {
  admin: () => ({
    connect: () => Promise.resolve(),
    listTopics: () => Promise.resolve(['t']),
  }),
} as unknown as KafkaJs.Kafka

beforeEach(() => Object.assign(log, { low: 0, stable: 5, high: 5 }))

it('never says that the last stable offset is beyond the high watermark', async () => {
  log.move = () => {
    log.stable += 10
    log.high += 10
  }
  const [found] = await createKafkaJsAdmin(client, { brokers: [], clientId: 'c' }).offsets('t')
  expect(found).toEqual({ partition: 0, logStartOffset: 0, lastStableOffset: 5, highWatermark: 15 })
})

it('keeps low ≤ stable ≤ high when retention passes in between', async () => {
  log.move = () => {
    log.low += 20
    log.high += 20
  }
  const [found] = await createKafkaJsAdmin(client, { brokers: [], clientId: 'c' }).offsets('t')
  expect(found).toEqual({ partition: 0, logStartOffset: 25, lastStableOffset: 25, highWatermark: 25 })
})

it('keeps low ≤ stable ≤ high when the topic is created again in between', async () => {
  log.stable = 900
  log.move = () => undefined
  const [found] = await createKafkaJsAdmin(client, { brokers: [], clientId: 'c' }).offsets('t')
  expect(found).toEqual({ partition: 0, logStartOffset: 0, lastStableOffset: 5, highWatermark: 5 })
})

it('takes the high watermark, not the last stable offset, where no record is as young', async () => {
  Object.assign(log, { stable: 3, high: 5, move: () => undefined })
  expect(await createKafkaJsAdmin(client, { brokers: [], clientId: 'c' }).offsetsAtTime('t', 1000)).toEqual(
    new Map([[0, 5]]),
  )
})
