import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { textBytes } from '../../../src/core/record.ts'
import { VERSIONS_TOPIC } from '../../../src/core/topics.ts'
import type { StreamVersions } from '../../../src/core/versions.ts'
import { SILENT_LOGGER } from '../../../src/runtime/logger.ts'
import type { Service } from '../../../src/runtime/service.ts'
import { createStreamHost, type StreamHost } from '../../../src/runtime/stream-host.ts'
import { createMemoryKafka, type MemoryKafka } from '../../../src/testing/memory-kafka.ts'
import { until } from '../../../src/testing/until.ts'

const NOTHING: Service = { start: async () => {}, stop: async () => {} }
let kafka: MemoryKafka
let host: StreamHost
beforeEach(async () => {
  kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([{ name: VERSIONS_TOPIC, partitions: 1, config: {} }])
})
afterEach(async () => {
  await host.stop()
  await kafka.close()
})

async function put(stream: string, applied: boolean): Promise<void> {
  const state: StreamVersions = { stream, epoch: 0, live: 1, rawTopicId: 'r', partitions: 1, versions: [], at: '' }
  const value = applied ? textBytes(JSON.stringify(state)) : null
  const producer = await kafka.producer()
  await producer.send(VERSIONS_TOPIC, [{ partition: 0, key: textBytes(stream), value, headers: [] }])
}

/** One task per stream. */
async function startHost(start: (stream: string) => Promise<Service>): Promise<void> {
  host = createStreamHost({
    kafka,
    logger: SILENT_LOGGER,
    tasks: ({ stream }) => [{ key: stream, start: () => start(stream) }],
    onFatal: () => {},
    retryMs: 1,
  })
  await host.start()
}

describe('a stream host', () => {
  test('a task that cannot start is failing also while it is tried again, until it has started', async () => {
    const tries: PromiseWithResolvers<Service>[] = []
    await put('orders', true)
    await startHost(() => {
      if (tries.length > 0) {
        tries.push(Promise.withResolvers())
        return tries.at(-1)!.promise
      }
      tries.push(Promise.withResolvers())
      return Promise.reject(new Error('no topic'))
    })
    await until(() => tries.length === 2, 'the second try')
    expect(host.state()).toMatchObject({ running: [], failing: { orders: 'no topic' } })
    tries[1]!.resolve(NOTHING)
    await until(() => host.state().running.length === 1, 'the task to run')
    expect(host.state()).toEqual({ running: ['orders'], failing: {}, caughtUp: true })
  })

  test('a task that cannot start is forgotten with its stream', async () => {
    await put('orders', true)
    await startHost(() => Promise.reject(new Error('no topic')))
    expect(host.state().failing).toEqual({ orders: 'no topic' })
    await put('orders', false)
    await until(() => Object.keys(host.state().failing).length === 0, 'the task to be forgotten')
  })

  test('a task whose stream is gone counts as running until it has stopped', async () => {
    const [asked, stopped] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    await put('orders', true)
    await startHost(async () => ({
      start: async () => {},
      stop: () => {
        asked.resolve()
        return stopped.promise
      },
    }))
    await put('orders', false)
    await asked.promise
    expect(host.state().running).toEqual(['orders'])
    stopped.resolve()
    await until(() => host.state().running.length === 0, 'the task to end')
  })
})
