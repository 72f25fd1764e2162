import { randomUUID } from 'node:crypto'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { startOwnBroker } from '../../../../../tests/setup/own-broker.ts'
import type { Stack } from '../../../../cli/src/stack/stack.ts'
import { bytesText, type RecordToSend, textBytes } from '../../../src/core/record.ts'
import { connectKafka } from '../../../src/kafka/connect-kafka.ts'
import { PRODUCER_CLIENTS } from '../../../src/kafka/connection.ts'
import { createIdempotentProducer } from '../../../src/kafka/idempotent-producer.ts'
import { connectProduceWire } from '../../../src/kafka/platformatic-wire.ts'
import type { KafkaPort, Producer } from '../../../src/kafka/port.ts'
import { API, type KafkaProxy, startKafkaProxy } from '../../../src/testing/kafka-proxy.ts'
import { until } from '../../../src/testing/until.ts'

const PARTITIONS = 2
const [broker] = inject('kafkaBrokers').split(',')

type Sent = { readonly text: string; readonly partition: number; offset: number | null }

const recordOf = ({ text, partition }: Sent): RecordToSend => ({
  partition,
  key: null,
  value: textBytes(text),
  headers: [],
})

async function topicIn(kafka: KafkaPort): Promise<string> {
  const topic = `faults-${randomUUID()}`
  await kafka.admin.ensureTopics([{ name: topic, partitions: PARTITIONS, config: {} }])
  return topic
}

/** One call of three records in two partitions; what is refused keeps no offset. */
async function sendThree(producer: Producer, topic: string, n: number): Promise<Sent[]> {
  const sent = [0, 1, 0].map((partition, i) => ({ text: `${n}/${i}`, partition, offset: null as number | null }))
  const offsets = await producer.send(topic, sent.map(recordOf)).catch(() => [])
  for (const [i, offset] of offsets.entries()) sent[i]!.offset = offset
  return sent
}

/** Per partition the values in the log, by offset. */
async function readAll(kafka: KafkaPort, topic: string): Promise<string[][]> {
  const log: string[][] = Array.from({ length: PARTITIONS }, () => [])
  const ranges = (await kafka.admin.offsets(topic)).map(({ partition, highWatermark: to }) => ({
    partition,
    from: 0,
    to,
  }))
  await kafka.readRanges(topic, ranges, ({ partition, records }) => {
    for (const { offset, value } of records) log[partition]![offset] = bytesText(value!)
  })
  return log
}

/** Every acknowledged record lies at its offset, and no record twice. */
function expectExact(log: readonly (readonly string[])[], sent: readonly Sent[]): void {
  for (const { text, partition, offset } of sent) if (offset !== null) expect(log[partition]![offset]).toBe(text)
  for (const values of log) expect(new Set(values).size).toBe(values.length)
}

async function proxied(): Promise<KafkaProxy> {
  const proxy = await startKafkaProxy(broker!)
  onTestFinished(() => proxy.close())
  return proxy
}

describe.each(PRODUCER_CLIENTS)('%s, producing over a network that loses', (client) => {
  it('neither loses nor repeats a record when answers and requests are lost and sends overlap', async () => {
    const proxy = await proxied()
    const kafka = connectKafka({ brokers: [proxy.address], clientId: 'faults', producer: client })
    onTestFinished(() => kafka.close())
    const topic = await topicIn(kafka)
    // Small requests, so that there are many.
    const producer = await kafka.producer({ maxBatchBytes: 300 })
    proxy.intercept(({ apiKey, nth }) => {
      if (apiKey !== API.produce) return 'pass'
      if (nth % 4 === 1) return 'cut-after'
      return nth % 7 === 3 ? 'cut-before' : 'pass'
    })
    const sent = (await Promise.all(Array.from({ length: 60 }, (_, n) => sendThree(producer, topic, n)))).flat()
    proxy.intercept(null)
    expect(proxy.count(API.produce)).toBeGreaterThan(20)
    expect(sent.filter(({ offset }) => offset === null)).toEqual([])
    const log = await readAll(kafka, topic)
    expectExact(log, sent)
    expect(log.flat()).toHaveLength(sent.length)
  })

  it('goes on after its connections were closed while it was idle', async () => {
    const proxy = await proxied()
    const kafka = connectKafka({ brokers: [proxy.address], clientId: 'faults', producer: client })
    onTestFinished(() => kafka.close())
    const topic = await topicIn(kafka)
    const producer = await kafka.producer()
    const before = await sendThree(producer, topic, 1)
    proxy.cut()
    proxy.accept()
    const after = await sendThree(producer, topic, 2)
    expect([...before, ...after].map(({ offset }) => offset)).toEqual([0, 0, 1, 2, 1, 3])
  })
})

it('finds out what became of a batch whose answer never comes, on a connection that stays open', async () => {
  const proxy = await proxied()
  const kafka = connectKafka({ brokers: [broker!], clientId: 'faults' })
  onTestFinished(() => kafka.close())
  const topic = await topicIn(kafka)
  const limits = { connectTimeoutMs: 5000, requestTimeoutMs: 5000 }
  const producer = await createIdempotentProducer(
    connectProduceWire({ brokers: [proxy.address], clientId: 'faults', ...limits }),
  )
  onTestFinished(() => producer.close())
  const silent = new Set([1, 3])
  proxy.intercept(({ apiKey, nth }) => {
    if (apiKey !== API.produce || !silent.has(nth)) return 'pass'
    return nth === 1 ? 'swallow-answer' : 'swallow-request'
  })
  const sent = [...(await sendThree(producer, topic, 1)), ...(await sendThree(producer, topic, 2))]
  expect(sent.map(({ offset }) => offset)).toEqual([0, 0, 1, 2, 1, 3])
  expectExact(await readAll(kafka, topic), sent)
})

describe.each(PRODUCER_CLIENTS)('%s, producing while the broker is killed and comes back', (client) => {
  it('has every acknowledged record in the log once, at its offset', { timeout: 600_000 }, async () => {
    const { stack, brokers } = await ownBroker()
    const kafka = connectKafka({ brokers, clientId: 'killed', producer: client })
    onTestFinished(() => kafka.close())
    const topic = await topicIn(kafka)
    const producer = await kafka.producer()
    const sent: Sent[] = []
    const acknowledged = (): number => sent.filter(({ offset }) => offset !== null).length
    let stop = false
    const sender = async (own: number): Promise<void> => {
      for (let n = 0; !stop; n++) sent.push(...(await sendThree(producer, topic, n * 4 + own)))
    }
    const senders = [0, 1, 2, 3].map(sender)
    await until(() => acknowledged() > 200, 'sends to succeed')
    await stack.restart('kafka', 'SIGKILL')
    const after = acknowledged()
    await until(() => acknowledged() > after + 200, 'sends to succeed again', 180_000)
    stop = true
    await Promise.all(senders)
    await producer.close()
    expectExact(await readAll(kafka, topic), sent)
  })
})

async function ownBroker(): Promise<{ stack: Stack; brokers: string[] }> {
  const own = await startOwnBroker('producer')
  onTestFinished(() => own.stop())
  const { stack } = own
  return { stack, brokers: stack.addresses.kafkaBrokers.split(',') }
}
