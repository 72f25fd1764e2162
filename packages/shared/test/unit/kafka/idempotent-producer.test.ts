import { expect, it } from 'vitest'
import { type RecordToSend, textBytes } from '../../../src/core/record.ts'
import { createIdempotentProducer, type DeliveryLimits } from '../../../src/kafka/idempotent-producer.ts'
import type { Producer } from '../../../src/kafka/port.ts'
import { createWireDouble, type WireDouble } from './wire-double.ts'

const LIMITS: DeliveryLimits = {
  connectMs: 20,
  deliveryMs: 30_000,
  unknownTopicMs: 50,
  firstPauseMs: 1,
  mostPauseMs: 4,
}
const SHORT: DeliveryLimits = { ...LIMITS, deliveryMs: 20 }

const records = (partition: number, ...texts: string[]): RecordToSend[] =>
  texts.map((text) => ({ partition, key: null, value: textBytes(text), headers: [] }))
const connect = (broker: WireDouble, limits = LIMITS): Promise<Producer> =>
  createIdempotentProducer(broker.wire, { compression: 'none' }, limits)
const lost = (): never => {
  throw new Error('the connection closed')
}
const answer = (errorCode: number, partition = 0) => ({ topic: 't', partition, errorCode, baseOffset: -1 })

it('loses and repeats nothing when a response is lost and sends overlap', async () => {
  const broker = createWireDouble()
  broker.onAnswers = (answers, attempt) => (attempt === 1 ? lost() : answers)
  const producer = await connect(broker)
  const first = producer.send('t', records(0, 'a1', 'a2'))
  // The first request is under way: the second call is not merged into it.
  await new Promise((resolve) => setImmediate(resolve))
  const second = producer.send('t', records(0, 'b1', 'b2'))
  expect(await Promise.all([first, second])).toEqual([
    [0, 1],
    [2, 3],
  ])
  expect(broker.log.get('t/0')).toEqual(['a1', 'a2', 'b1', 'b2'])
  expect([broker.mostInFlight(), broker.producers()]).toEqual([1, 1])
})

it.each([
  [6, 'the leader moved'],
  [19, 'replicas were missing'],
  [3, 'the partition was not there yet'],
])('asks again, with fresh metadata, after code %i: %s', async (code) => {
  const broker = createWireDouble()
  broker.onRequest = (attempt) => (attempt === 1 ? [answer(code)] : undefined)
  const producer = await connect(broker)
  expect(await producer.send('t', records(0, 'a'))).toEqual([0])
  expect([broker.requests(), broker.refreshes(), broker.producers()]).toEqual([2, 1, 1])
})

it.each([7, 20, 56])('finds out by repetition what became of a batch after code %i', async (code) => {
  const broker = createWireDouble()
  broker.onAnswers = (answers, attempt) => (attempt === 1 ? [answer(code)] : answers)
  const producer = await connect(broker)
  expect(await producer.send('t', records(0, 'a'))).toEqual([0])
  expect(await producer.send('t', records(0, 'b'))).toEqual([1])
  expect(broker.log.get('t/0')).toEqual(['a', 'b'])
})

it('takes a new producer id after a send whose outcome is unknown', async () => {
  const broker = createWireDouble()
  broker.onAnswers = lost
  const producer = await connect(broker, SHORT)
  await expect(producer.send('t', records(0, 'a'))).rejects.toMatchObject({
    code: 'MESH_KAFKA_UNAVAILABLE',
    place: 't/0',
  })
  broker.onAnswers = (answers) => answers
  expect(await producer.send('t', records(0, 'b'))).toEqual([1])
  expect(broker.log.get('t/0')).toEqual(['a', 'b'])
  expect(broker.producers()).toBe(2)
})

it('sends under a new producer id what was certainly not written when the broker has lost the sequence', async () => {
  const broker = createWireDouble()
  const producer = await connect(broker)
  expect(await producer.send('t', records(0, 'a'))).toEqual([0])
  broker.loseProducerState()
  expect(await producer.send('t', records(0, 'b'))).toEqual([1])
  expect(broker.log.get('t/0')).toEqual(['a', 'b'])
  expect(broker.producers()).toBe(2)
})

it('never sends under a new producer id what may be written', async () => {
  const broker = createWireDouble()
  const producer = await connect(broker)
  await producer.send('t', records(0, 'a'))
  broker.onAnswers = (answers, attempt) => {
    if (attempt !== 2) return answers
    broker.loseProducerState()
    return lost()
  }
  await expect(producer.send('t', records(0, 'b'))).rejects.toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' })
  expect(broker.log.get('t/0')).toEqual(['a', 'b'])
  expect(await producer.send('t', records(0, 'c'))).toEqual([2])
})

it('keeps what one leader may have written apart from the id that another leader has ended', async () => {
  const broker = createWireDouble()
  broker.leaderOf = (_topic, partition) => partition
  const producer = await connect(broker)
  await producer.send('t', [...records(0, 'a'), ...records(1, 'x')])
  let broken = false
  broker.onRequest = (_attempt, [batch]) => {
    if (batch!.partition !== 1 || broken) return undefined
    broken = true
    return [answer(45, 1)]
  }
  broker.onAnswers = (answers, attempt) => (attempt <= 4 && answers[0]!.partition === 0 ? lost() : answers)
  const [perhaps, again] = await Promise.allSettled([
    producer.send('t', records(0, 'b')),
    producer.send('t', records(1, 'y')),
  ])
  expect(perhaps).toMatchObject({ reason: { code: 'MESH_KAFKA_UNAVAILABLE' } })
  expect(again).toMatchObject({ value: [1] })
  expect(broker.log.get('t/0')).toEqual(['a', 'b'])
  expect(broker.log.get('t/1')).toEqual(['x', 'y'])
})

it.each([
  ['lacks the partition', () => []],
  ['has no offset', () => [answer(0)]],
])('says that the outcome is unknown when the answer %s', async (_name, onAnswers) => {
  const broker = createWireDouble()
  broker.onAnswers = onAnswers
  const producer = await connect(broker, SHORT)
  await expect(producer.send('t', records(0, 'a'))).rejects.toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' })
})

it('writes the neighbours of a refused call once, wherever they lie, with one producer id', async () => {
  const broker = createWireDouble()
  broker.mostRecords = 3
  const producer = await connect(broker)
  const calls = [
    producer.send('t', records(0, 'small')),
    producer.send('t', records(0, 'too', 'large', 'for', 'one')),
    producer.send('t', [...records(1, 'both 1'), ...records(0, 'both 0')]),
    producer.send('t', records(1, 'elsewhere')),
  ]
  expect(await Promise.allSettled(calls)).toMatchObject([
    { value: [0] },
    { reason: { code: 'MESH_KAFKA_RECORD_TOO_LARGE' } },
    { value: [0, 1] },
    { value: [1] },
  ])
  expect(broker.log.get('t/0')).toEqual(['small', 'both 0'])
  expect(broker.log.get('t/1')).toEqual(['both 1', 'elsewhere'])
  expect(broker.producers()).toBe(1)
})

it('fails a call for an unknown topic and writes its neighbours', async () => {
  const broker = createWireDouble()
  broker.leaderOf = (topic) => (topic === 't' ? 1 : 'unknown')
  const producer = await connect(broker)
  const [gone, kept] = await Promise.allSettled([
    producer.send('gone', records(0, 'a')),
    producer.send('t', records(0, 'b')),
  ])
  expect(gone).toMatchObject({ reason: { code: 'MESH_KAFKA_UNAVAILABLE', place: 'gone/0' } })
  expect(kept).toMatchObject({ value: [0] })
})

it('fails at once, and keeps its producer id, when the broker does not take the records', async () => {
  const broker = createWireDouble()
  broker.onRequest = (attempt) => (attempt === 1 ? [answer(87)] : undefined)
  const producer = await connect(broker)
  await expect(producer.send('t', records(0, 'a'))).rejects.toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' })
  expect(await producer.send('t', records(0, 'b'))).toEqual([0])
  expect(broker.producers()).toBe(1)
})

it('writes what is queued before it closes, and takes nothing after', async () => {
  const broker = createWireDouble()
  const producer = await connect(broker)
  const sends = ['a', 'b', 'c'].map((text) => producer.send('t', records(0, text)))
  const closing = producer.close()
  await expect(producer.send('t', records(0, 'd'))).rejects.toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' })
  await closing
  expect(await Promise.all(sends)).toEqual([[0], [1], [2]])
  expect(broker.isClosed()).toBe(true)
})

it('closes its connections when it cannot begin', async () => {
  const broker = createWireDouble()
  const wire = { ...broker.wire, newProducerId: () => Promise.reject(new Error('nobody is there')) }
  const begun = createIdempotentProducer(wire, {}, LIMITS)
  await expect(begun).rejects.toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' })
  expect(broker.isClosed()).toBe(true)
})
