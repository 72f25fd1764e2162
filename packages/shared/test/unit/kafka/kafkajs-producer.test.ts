import { expect, it } from 'vitest'
import { type RecordToSend, textBytes } from '../../../src/core/record.ts'
import { createKafkaJsProducer } from '../../../src/kafka/kafkajs-producer.ts'
import { createProduceDouble, responseLost } from './produce-double.ts'

const records = (partition: number, ...texts: string[]): RecordToSend[] =>
  texts.map((text) => ({ partition, key: null, value: textBytes(text), headers: [] }))

it('loses nothing when a response is lost and sends overlap', async () => {
  const broker = createProduceDouble()
  broker.onAnswer = (answers, attempt) => {
    if (attempt === 1) throw responseLost()
    return answers
  }
  const producer = await createKafkaJsProducer(broker.client)
  const first = producer.send('t', records(0, 'a1', 'a2'))
  // The first request is under way: the second call is not merged into it.
  await new Promise((resolve) => setImmediate(resolve))
  const second = producer.send('t', records(0, 'b1', 'b2'))
  expect(await Promise.all([first, second])).toEqual([
    [0, 1],
    [2, 3],
  ])
  expect(broker.log.get('t/0')).toEqual(['a1', 'a2', 'b1', 'b2'])
  expect(broker.mostInFlight()).toBe(1)
})

it('takes a new producer id after a send whose outcome is unknown', async () => {
  const broker = createProduceDouble()
  broker.onAnswer = (answers, attempt) => {
    if (attempt === 1) throw Object.assign(new Error('broken'), { retriable: false })
    return answers
  }
  const producer = await createKafkaJsProducer(broker.client)
  await expect(producer.send('t', records(0, 'a'))).rejects.toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' })
  expect(await producer.send('t', records(0, 'b'))).toEqual([1])
  expect(broker.log.get('t/0')).toEqual(['a', 'b'])
  expect(broker.producers()).toBe(2)
})

it.each([
  ['lacks the partition', () => []],
  ['has no offset', () => [{ partition: 0, errorCode: 0, baseOffset: '-1' }]],
])('says that the outcome is unknown when the answer %s', async (_name, onAnswer) => {
  const broker = createProduceDouble()
  broker.onAnswer = onAnswer
  const producer = await createKafkaJsProducer(broker.client)
  await expect(producer.send('t', records(0, 'a'))).rejects.toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' })
})

it('writes the neighbours of a refused call once, wherever they lie', async () => {
  const broker = createProduceDouble()
  broker.mostRecords = 3
  const producer = await createKafkaJsProducer(broker.client)
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
})
