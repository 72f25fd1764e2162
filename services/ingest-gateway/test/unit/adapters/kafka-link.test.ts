import { textBytes } from '@mesh/shared/core/record'
import { VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { FollowOptions, KafkaPort } from '@mesh/shared/kafka/port'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createKafkaLink, type KafkaLink } from '../../../src/adapters/kafka-link.ts'

/** Conditions come true at once on a free machine. */
const PATIENT = { timeout: 50_000 }

describe('the link to Kafka', () => {
  let memory: MemoryKafka
  let follows: FollowOptions[]
  let seen: string[][]
  let lost: unknown[]
  let back: number
  let down: boolean
  let breakFollows: number
  let link: KafkaLink

  beforeEach(() => {
    memory = createMemoryKafka()
    follows = []
    seen = []
    lost = []
    back = 0
    down = false
    breakFollows = 0
    const kafka: KafkaPort = {
      ...memory,
      follow(topic, options) {
        follows.push(options)
        if (follows.length > breakFollows) return memory.follow(topic, options)
        // As a consumer does whose group cannot be joined: it tells of the error, and its start fails.
        options.onFatal(new Error('the coordinator is loading'))
        return Promise.reject(new Error('the coordinator is loading'))
      },
      admin: {
        ...memory.admin,
        topicIds: (topics) => (down ? Promise.reject(new Error('no broker')) : memory.admin.topicIds(topics)),
      },
    }
    link = createKafkaLink({
      kafka,
      onVersions: async (all) => void seen.push([...all.keys()]),
      onLost: (error) => lost.push(error),
      onBack: () => back++,
      onFatal: (error) => {
        throw error
      },
      // Also the limit of one answer, which a busy machine may take some time for.
      probeMs: 100,
      retryMs: 5,
    })
  })
  afterEach(() => link.stop())

  const createTopic = (): Promise<unknown> =>
    memory.admin.ensureTopics([{ name: VERSIONS_TOPIC, partitions: 1, config: {} }])
  async function announce(stream: string): Promise<void> {
    const state = { stream } as StreamVersions
    const producer = await memory.producer()
    await producer.send(VERSIONS_TOPIC, [
      { partition: 0, key: textBytes(stream), value: textBytes(JSON.stringify(state)), headers: [] },
    ])
  }

  test('it is not reachable before Kafka answers, says so once, and connects by itself', async () => {
    await link.start()
    expect(link.state()).toMatchObject({ reachable: false, caughtUp: false })
    await vi.waitFor(() => expect(link.state().error).not.toBeNull(), PATIENT)
    await createTopic()
    await announce('a')
    await vi.waitFor(() => expect(link.state()).toEqual({ reachable: true, caughtUp: true, error: null }), PATIENT)
    expect([lost.length, back]).toEqual([1, 1])
    expect(link.producer()).not.toBeNull()
  })

  test('changes of mesh.versions are handed on as they come', async () => {
    await createTopic()
    await announce('a')
    await link.start()
    await vi.waitFor(() => expect(seen.at(-1)).toEqual(['a']), PATIENT)
    await announce('b')
    await vi.waitFor(() => expect(seen.at(-1)).toEqual(['a', 'b']), PATIENT)
  })

  test('a follower that breaks is replaced, and what came meanwhile is seen', async () => {
    await createTopic()
    await announce('a')
    await link.start()
    await vi.waitFor(() => expect(link.state().reachable).toBe(true), PATIENT)
    follows[0]!.onFatal(new Error('the coordinator is loading'))
    await announce('b')
    await vi.waitFor(() => expect(follows).toHaveLength(2), PATIENT)
    await vi.waitFor(() => expect(seen.at(-1)).toEqual(['a', 'b']), PATIENT)
    expect(link.state().caughtUp).toBe(true)
  })

  test('a follower that breaks while it starts is tried again', async () => {
    breakFollows = 2
    await createTopic()
    await announce('a')
    await link.start()
    await vi.waitFor(() => expect(link.state()).toEqual({ reachable: true, caughtUp: true, error: null }), PATIENT)
    expect([follows.length, lost.length, seen.at(-1)]).toEqual([3, 1, ['a']])
    expect(lost[0]).toMatchObject({ message: 'the coordinator is loading' })
  })

  test('a Kafka that stops answering makes it unreachable until it answers again', async () => {
    await createTopic()
    await link.start()
    await vi.waitFor(() => expect(link.state().reachable).toBe(true), PATIENT)
    down = true
    await vi.waitFor(
      () => expect(link.state()).toMatchObject({ reachable: false, caughtUp: true, error: 'no broker' }),
      PATIENT,
    )
    down = false
    await vi.waitFor(() => expect(link.state()).toMatchObject({ reachable: true, error: null }), PATIENT)
  })
})
