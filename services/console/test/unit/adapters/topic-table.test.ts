import { textBytes } from '@mesh/shared/core/record'
import type { FollowOptions } from '@mesh/shared/kafka/port'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createTopicTable } from '../../../src/adapters/topic-table.ts'

vi.setConfig({ testTimeout: 60_000 })

/** Conditions come true at once on a free machine. */
const PATIENT = { timeout: 50_000 }

const record = (key: string, value: string | null) => ({
  partition: 0,
  key: textBytes(key),
  value: value === null ? null : textBytes(value),
  headers: [],
})

test('shows the latest value per key, drops deletes, and leaves out what is no JSON', async () => {
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
  const producer = await kafka.producer()
  await producer.send('t', [record('a', '1'), record('b', '2'), record('a', '3'), record('c', 'not json')])
  const table = createTopicTable<number>({ kafka, topic: 't', retryMs: 1 })
  onTestFinished(() => table.stop())
  await table.start()
  await expect.poll(() => table.caughtUp(), PATIENT).toBe(true)
  expect(table.current()).toEqual(
    new Map([
      ['a', 3],
      ['b', 2],
    ]),
  )
  await producer.send('t', [record('b', null), record('d', '4')])
  await expect
    .poll(() => table.current(), PATIENT)
    .toEqual(
      new Map([
        ['a', 3],
        ['d', 4],
      ]),
    )
})

test('a topic that is not there yet is a problem to show, and followed once it is', async () => {
  const kafka = createMemoryKafka()
  const table = createTopicTable({ kafka, topic: 't', retryMs: 1 })
  onTestFinished(() => table.stop())
  await table.start()
  await expect.poll(() => table.problem(), PATIENT).toBe('t cannot be read: there is no such topic yet')
  await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
  await expect.poll(() => table.caughtUp(), PATIENT).toBe(true)
  expect(table.problem()).toBeNull()
})

test('a follower that fails is replaced; what it had read stays until then', async () => {
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([{ name: 't', partitions: 1, config: {} }])
  await (await kafka.producer()).send('t', [record('a', '1')])
  const followed: FollowOptions[] = []
  const follow: typeof kafka.follow = (topic, options) => {
    followed.push(options)
    return kafka.follow(topic, options)
  }
  const table = createTopicTable<number>({ kafka: { admin: kafka.admin, follow }, topic: 't', retryMs: 1 })
  onTestFinished(() => table.stop())
  await table.start()
  await expect.poll(() => table.caughtUp(), PATIENT).toBe(true)
  followed[0]!.onFatal(new Error('the broker went away'))
  expect(table.problem()).toContain('the broker went away')
  expect(table.current()).toEqual(new Map([['a', 1]]))
  await expect.poll(() => table.problem(), PATIENT).toBeNull()
  expect(followed).toHaveLength(2)
})
