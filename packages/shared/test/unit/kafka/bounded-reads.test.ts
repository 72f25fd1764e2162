import { expect, it } from 'vitest'
import { bytesText, type RecordBatch, type RecordToSend, textBytes } from '../../../src/core/record.ts'
import { type ConsumerFactory, clip, follow, readRanges } from '../../../src/kafka/bounded-reads.ts'
import type { GroupConsumer, KafkaAdmin } from '../../../src/kafka/port.ts'
import { createMemoryKafka, type MemoryKafka } from '../../../src/testing/memory-kafka.ts'
import { until } from '../../../src/testing/until.ts'

const record = (text: string): RecordToSend => ({ partition: 0, key: null, value: textBytes(text), headers: [] })
const texts = (batch: RecordBatch): string[] => batch.records.map(({ value }) => bytesText(value!))

async function logOf(...values: string[]): Promise<MemoryKafka> {
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
  await (await kafka.producer()).send('t', values.map(record))
  return kafka
}

/** Another member joins the group of every consumer that `kafka` makes, and leaves: both are a new generation. */
function rejoining(kafka: MemoryKafka): { consumer: ConsumerFactory; rejoin: () => Promise<void> } {
  const groups: string[] = []
  const others: GroupConsumer[] = []
  return {
    consumer(options) {
      groups.push(options.groupId)
      return kafka.consumer(options)
    },
    async rejoin() {
      for (const groupId of groups) {
        const idle = { process: () => Promise.resolve(null) }
        const other = kafka.consumer({
          groupId,
          topics: ['t'],
          onFatal: () => undefined,
          assign: ({ highWatermark }) => Promise.resolve({ position: highWatermark, paused: true, handler: idle }),
        })
        others.push(other)
        await other.start()
      }
      await Promise.all(others.splice(0).map((other) => other.stop()))
    },
  }
}

it('clips a batch at the end of a range', () => {
  const at = (offset: number) => ({ offset, timestamp: 0, key: null, value: null, headers: [] })
  const batch = {
    topic: 't',
    topicId: 'id',
    partition: 0,
    firstOffset: 2,
    nextOffset: 7,
    records: [at(2), at(4), at(5)],
  }
  expect(clip(batch, 7)).toBe(batch)
  expect(clip(batch, 5)).toEqual({ ...batch, nextOffset: 5, records: [at(2), at(4)] })
  expect(clip(batch, 2)).toEqual({ ...batch, nextOffset: 2, records: [] })
})

it.each([
  ['below the log', 0, 3],
  ['beyond the log', 2, 9],
])('refuses a range %s', async (_name, from, to) => {
  const kafka = await logOf('a', 'b', 'c', 'd')
  kafka.trim('t', 0, 1)
  const seen: string[] = []
  const read = kafka.readRanges('t', [{ partition: 0, from, to }], (batch) => void seen.push(...texts(batch)))
  await expect(read).rejects.toMatchObject({ code: 'MESH_KAFKA_OFFSET_OUT_OF_RANGE', place: 't/0' })
  expect(seen).toEqual([])
})

it('reads a range that ends inside a batch exactly', async () => {
  const kafka = await logOf('a', 'b', 'c', 'd')
  const batches: RecordBatch[] = []
  await kafka.readRanges('t', [{ partition: 0, from: 1, to: 3 }], (batch) => void batches.push(batch))
  expect(batches.map((batch) => [batch.firstOffset, batch.nextOffset, ...texts(batch)])).toEqual([[1, 3, 'b', 'c']])
})

it('ends with the error of its reader', async () => {
  const kafka = await logOf('a')
  const read = kafka.readRanges('t', [{ partition: 0, from: 0, to: 1 }], () => Promise.reject(new Error('full')))
  await expect(read).rejects.toThrow('full')
})

it('hands nothing of a range over twice when the group is joined again', async () => {
  const kafka = await logOf(...Array.from({ length: 700 }, (_, i) => String(i)))
  const { consumer, rejoin } = rejoining(kafka)
  const seen: string[] = []
  const rejoined: Promise<void>[] = []
  await readRanges(consumer, kafka.admin, 't', {
    ranges: [{ partition: 0, from: 0, to: 700 }],
    onBatch(batch) {
      seen.push(...texts(batch))
      if (rejoined.length === 0) rejoined.push(rejoin())
    },
  })
  await Promise.all(rejoined)
  expect(seen).toEqual(Array.from({ length: 700 }, (_, i) => String(i)))
})

it('has caught up at the last stable offset, whatever is open behind it', async () => {
  const kafka = await logOf('a', 'b')
  const behindIt: KafkaAdmin = {
    ...kafka.admin,
    offsets: async (topic) => (await kafka.admin.offsets(topic)).map((found) => ({ ...found, highWatermark: 3 })),
  }
  const seen: string[] = []
  const follower = await follow((options) => kafka.consumer(options), behindIt, 't', {
    from: 'start',
    onBatch: (batch) => void seen.push(...texts(batch)),
    onFatal: (error) => seen.push(String(error)),
  })
  await follower.caughtUp
  expect(seen).toEqual(['a', 'b'])
  await follower.stop()
})

it.each(['start', 'end'] as const)('goes on where it was after a rejoin when it follows from the %s', async (from) => {
  const kafka = await logOf('before')
  const { consumer, rejoin } = rejoining(kafka)
  const seen: string[] = []
  const follower = await follow(consumer, kafka.admin, 't', {
    from,
    onBatch: (batch) => void seen.push(...texts(batch)),
    onFatal: (error) => seen.push(String(error)),
  })
  await follower.caughtUp
  const producer = await kafka.producer()
  await producer.send('t', [record('first')])
  await until(() => seen.includes('first'), 'the first record')
  const rejoined = rejoin()
  await producer.send('t', [record('second')])
  await rejoined
  await until(() => seen.includes('second'), 'the second record')
  expect(seen).toEqual([...(from === 'start' ? ['before'] : []), 'first', 'second'])
  await follower.stop()
})
