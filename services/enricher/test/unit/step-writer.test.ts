import type { RecordToSend } from '@mesh/shared/core/record'
import { textBytes } from '@mesh/shared/core/record'
import { expect, test } from 'vitest'
import { createAckedWriter } from '../../src/step-writer.ts'

const TOPICS = { refined: 'refined', deadLetter: 'dead', state: 'state' }
const record = (text: string): RecordToSend => ({ partition: 0, key: null, value: textBytes(text), headers: [] })

/** Lets everything that can go on without an ack go on. */
const settle = () => new Promise((resolve) => setImmediate(resolve))

test('at least once: what is parked is durable before a later output is, and a step ends with its dead letters', async () => {
  const waiting: { topic: string; ack: () => void }[] = []
  const send = (topic: string, records: readonly RecordToSend[]) =>
    new Promise<number[]>((resolve) => {
      waiting.push({ topic, ack: () => resolve(records.map((_, i) => i)) })
    })
  const writer = createAckedWriter({ send }, TOPICS, { partition: 0, ends: { refined: 0, state: 0 } })
  const events: string[] = []
  const step = { state: [record('s')], outputs: [record('o')], deadLetters: [record('d')], bytes: 3 }
  const written = writer.write(step, () => events.push('written')).then(() => events.push('done'))
  for (const topic of ['state', 'refined', 'dead']) {
    await settle()
    expect(waiting.map((sent) => sent.topic)).toEqual([topic])
    expect(events).toEqual([])
    waiting.shift()!.ack()
  }
  await written
  expect(events).toEqual(['written', 'done'])
})
