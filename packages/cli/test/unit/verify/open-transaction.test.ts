import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { textBytes } from '@mesh/shared/core/record'
import { rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { freezeBundle, putBundle } from '@mesh/shared/schema/bundle'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'
import { createMemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { createMemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { until } from '@mesh/shared/testing/until'
import { expect, test } from 'vitest'
import { verifyStream } from '../../../src/verify/verify.ts'

const STREAM = 'airports'
const RAW = rawTopic(STREAM)
const FOLDER = join(import.meta.dirname, '../../../../../streams', STREAM)

test('a record of an open or an aborted transaction is nothing to decide; a committed one is', async () => {
  const kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([RAW, refinedTopic(STREAM, 1)].map((name) => ({ name, partitions: 1, config: {} })))
  const store = createMemoryObjectStore()
  const bundle = await freezeBundle(await loadStreamFolder(FOLDER))
  await putBundle(store, bundle)
  const { hash, codeHash, contractHash } = bundle
  const state: StreamVersions = {
    stream: STREAM,
    epoch: 0,
    live: 1,
    rawTopicId: (await kafka.admin.topicIds([RAW])).get(RAW)!,
    partitions: 1,
    versions: [
      {
        version: 1,
        status: 'live',
        bundles: [{ hash, codeHash, contractHash, schemaId: 1, from: [0] }],
        start: [0],
        replay: null,
      },
    ],
    at: '2026-01-01T00:00:00Z',
  }
  const verdict = async () =>
    (await verifyStream({ kafka, store, warehouseFile: join(tmpdir(), 'no-such-warehouse.duckdb') }, state))[0]!.state
  expect(await verdict()).toBe('closed')

  const writes = [{ topic: RAW, records: [{ partition: 0, key: null, value: textBytes('{}'), headers: [] }] }]
  const decide = () => Promise.resolve('absent' as const)
  const transact = async (name: string) => {
    const client = kafka.client(name)
    const producer = await client.transactional({ transactionalId: 'source', topics: [RAW] })
    return { client, written: producer.transact({ writes, offset: null, decide }) }
  }
  // The end of this one stands still on the way to the broker, and then its process dies.
  const stuck = Promise.withResolvers<'before'>()
  kafka.fault(({ client, kind }) => (client === 'first' && kind === 'end-transaction' ? stuck.promise : null))
  const first = await transact('first')
  await until(() => kafka.entries(RAW, 0).length === 1, 'the record')
  expect(kafka.log(RAW, 0)).toEqual([])
  expect(await verdict()).toBe('closed')

  first.client.kill()
  stuck.resolve('before')
  await kafka.client('heir').transactional({ transactionalId: 'source', topics: [RAW] })
  expect((await kafka.admin.offsets(RAW))[0]).toMatchObject({ lastStableOffset: 2, highWatermark: 2 })
  expect(await verdict()).toBe('closed')

  const second = await transact('second')
  await second.written
  expect(kafka.log(RAW, 0)).toHaveLength(1)
  expect(await verdict()).toBe('pending')
})
