import { isMeshError } from '@mesh/shared/core/errors'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { until } from '@mesh/shared/testing/until'
import { expect, test } from 'vitest'
import { joinSourcesTopic, SOURCES_GROUP } from '../../src/adapters/sources/sources-topic.ts'
import type { Wish } from '../../src/core/sources/source-types.ts'
import { createSourceService, type SourceService } from '../../src/source-service.ts'
import { directoryOf } from '../support/gateway.ts'
import { HTTP_SOURCE, polledStream, pollOf } from '../support/polling-gateway.ts'
import { stoppedAfterEach } from '../support/stopped-after-each.ts'

const open = stoppedAfterEach()
const KAFKA = createMemoryKafka()
const STREAM = polledStream(pollOf(), { ...HTTP_SOURCE, url: 'http://127.0.0.1:1' })

/** One gateway's part of it; `told` is what its readers hear of the source. */
async function service(
  name: string,
  streams = [STREAM],
): Promise<{ service: SourceService; told: (Wish['intent'] | null)[] }> {
  const kafka = KAFKA.client(name)
  const producer = await kafka.producer()
  const told: (Wish['intent'] | null)[] = []
  const own: SourceService = createSourceService({
    kafka,
    producer: () => producer,
    directory: directoryOf(streams),
    reconciler: { round: async () => [] },
    intervalMs: 10,
    onTrouble(error) {
      throw error
    },
    onReport: () => undefined,
    onWishes: () => told.push(own.wishOf('api')?.intent ?? null),
    now: () => Date.UTC(2026, 0, 1),
  })
  await own.start()
  open.push(own)
  return { service: own, told }
}

test('a poll alone is enough for what operators want to be known, in every gateway and after a restart', async () => {
  const one = await service('one')
  expect(one.service.wishOf('api')).toBeNull()
  await until(() => one.told.includes('running'), 'the first wishes')
  const two = await service('two')
  await until(() => two.told.includes('running'), 'the wishes in the other')
  await two.service.setIntent('api', 'paused')
  expect(two.told.at(-1)).toBe('paused')
  await until(() => one.told.at(-1) === 'paused', 'the pause in the other')
  const three = await service('three')
  await until(() => three.told.length > 0, 'the wishes after a restart')
  expect(three.told[0]).toBe('paused')
}, 120_000)

test('a restart is asked of what runs, keeps to it, and is refused of what does not', async () => {
  const { service: own } = await service('four')
  await until(() => own.wishOf('api') !== null, 'the wishes')
  await own.setIntent('api', 'running')
  await own.restart('api')
  expect(own.wishOf('api')).toEqual({ intent: 'running', restartedAt: '2026-01-01T00:00:00.000Z' })
  await own.setIntent('api', 'paused')
  expect(own.wishOf('api')).toEqual({ intent: 'paused', restartedAt: '2026-01-01T00:00:00.000Z' })
  const error: unknown = await own.restart('api').catch((thrown: unknown) => thrown)
  expect(isMeshError(error) && error.code).toBe('MESH_SOURCE_NOT_RUNNING')
  await own.forget('api')
  expect(own.wishOf('api')).toEqual({ intent: 'running', restartedAt: null })
}, 120_000)

test('without any stream that has a source nothing is made', async () => {
  const kafka = createMemoryKafka()
  const own = createSourceService({
    kafka,
    producer: () => ({ send: async () => [], close: async () => {} }),
    directory: directoryOf([]),
    reconciler: { round: async () => [] },
    intervalMs: 1,
    onTrouble(error) {
      throw error
    },
    onReport: () => undefined,
    onWishes: () => undefined,
    now: Date.now,
  })
  await own.start()
  await own.stop()
  expect(own.wishOf('api')).toBeNull()
  expect(await kafka.admin.topicIds(['mesh.sources'])).toEqual(new Map())
})

test('wishes are known before the lead is asked for, and the group is left only once it is joined', async () => {
  const kafka = createMemoryKafka()
  const joining = Promise.withResolvers<void>()
  const seen: string[] = []
  const port: KafkaPort = {
    ...kafka,
    consumer(options) {
      const own = kafka.consumer(options)
      if (options.groupId !== SOURCES_GROUP) return own
      return {
        ...own,
        async start() {
          await joining.promise
          seen.push('joined')
          await own.start()
        },
        async stop() {
          seen.push('left')
          await own.stop()
        },
      }
    },
  }
  const topic = await joinSourcesTopic(port, () => null, { onBroken: () => seen.push('broken'), onWishes: () => {} })
  expect(topic.wishOf('api').intent).toBe('running')
  const stopping = topic.stop()
  joining.resolve()
  await stopping
  expect(seen).toEqual(['joined', 'left'])
})
