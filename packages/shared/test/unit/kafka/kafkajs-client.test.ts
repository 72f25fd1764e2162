import { createRequire } from 'node:module'
import { afterEach, expect, it, vi } from 'vitest'
import { plainModule } from '../../support/plain-kafkajs.ts'

const require = createRequire(import.meta.url)
const MANIFEST = require.resolve('kafkajs/package.json')

afterEach(() => {
  delete require.cache[MANIFEST]
  vi.resetModules()
})

function pretendVersion(version: string): void {
  require.cache[MANIFEST] = { id: MANIFEST, filename: MANIFEST, loaded: true, exports: { version } } as NodeJS.Module
}

it.each(['2.2.3', '2.2.5', '3.0.0'])('refuses kafkajs %s, which its corrections are not for', async (version) => {
  pretendVersion(version)
  await expect(import('../../../src/kafka/kafkajs-client.ts')).rejects.toMatchObject({
    code: 'MESH_KAFKA_CLIENT_UNSAFE',
  })
})

type Runner = { commitOffsets(this: object, offsets: unknown): Promise<void> }
type Group = { offsetManager: object; commitOffsets(): Promise<void> }

/** kafkajs's runner over a group of the test's own; retries at once. */
async function commitOn(group: Group, running = true): Promise<void> {
  await import('../../../src/kafka/kafkajs-client.ts')
  const { prototype } = require('kafkajs/src/consumer/runner') as { prototype: Runner }
  const createRetry = require('kafkajs/src/retry') as (options: object) => unknown
  const retrier = createRetry({ retries: 2, initialRetryTime: 1, maxRetryTime: 1 })
  return prototype.commitOffsets.call({ running, consumerGroup: group, retrier }, {})
}

it('does not repeat a commit under another generation than it was asked in', async () => {
  let attempts = 0
  const group: Group = {
    offsetManager: {},
    commitOffsets() {
      attempts++
      group.offsetManager = {}
      return Promise.reject(new Error('the response was lost'))
    },
  }
  await expect(commitOn(group)).rejects.toMatchObject({ type: 'ILLEGAL_GENERATION' })
  expect(attempts).toBe(1)
})

it('plain kafkajs repeats it under the generation that it has by then', async () => {
  const { prototype } = plainModule<{ prototype: Runner }>('src/consumer/runner.js')
  const createRetry = plainModule<(options: object) => unknown>('src/retry/index.js')
  const generations: object[] = []
  const consumerGroup: Group = {
    offsetManager: {},
    commitOffsets() {
      generations.push(consumerGroup.offsetManager)
      if (generations.length > 1) return Promise.resolve()
      consumerGroup.offsetManager = {}
      return Promise.reject(new Error('the response was lost'))
    },
  }
  const retrier = createRetry({ retries: 2, initialRetryTime: 1, maxRetryTime: 1 })
  const logger = { debug: () => undefined }
  await prototype.commitOffsets.call({ running: true, consumerGroup, retrier, logger }, {})
  expect(new Set(generations).size).toBe(2)
})

it('repeats a commit whose response was lost within its generation', async () => {
  let attempts = 0
  await commitOn({
    offsetManager: {},
    commitOffsets: () => (++attempts === 1 ? Promise.reject(new Error('the response was lost')) : Promise.resolve()),
  })
  expect(attempts).toBe(2)
})

it('does not call a commit done when the consumer no longer runs', async () => {
  const group: Group = { offsetManager: {}, commitOffsets: () => Promise.resolve() }
  await expect(commitOn(group, false)).rejects.toMatchObject({ type: 'ILLEGAL_GENERATION' })
})

it('refuses a commit while the group is joined again', async () => {
  await import('../../../src/kafka/kafkajs-client.ts')
  const { prototype } = require('kafkajs/src/consumer/consumerGroup') as {
    prototype: { joinAndSync(this: object): Promise<void> }
  }
  const joined = Promise.withResolvers<void>()
  const group = { offsetManager: {}, commitOffsets: () => Promise.resolve(), retrier: () => joined.promise }
  const joining = prototype.joinAndSync.call(group)
  await expect(commitOn(group)).rejects.toMatchObject({ type: 'ILLEGAL_GENERATION' })
  joined.resolve()
  await joining
  await expect(commitOn(group)).resolves.toBeUndefined()
})
