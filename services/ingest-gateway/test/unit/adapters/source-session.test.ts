import { textBytes } from '@mesh/shared/core/record'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import { createMemoryKafka, type MemoryClient, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { until } from '@mesh/shared/testing/until'
import { beforeEach, expect, test } from 'vitest'
import { readCursorRecords } from '../../../src/adapters/cursor-records.ts'
import { openSourceSession } from '../../../src/adapters/source-session.ts'
import type { SourceSession } from '../../../src/core/ports.ts'

const RAW = 'raw.things.v1'

let kafka: MemoryKafka

beforeEach(async () => {
  kafka = createMemoryKafka()
  await kafka.admin.ensureTopics([...meshTopics(), { name: RAW, partitions: 1, config: {} }])
})

function open(client: MemoryClient, id: string): Promise<SourceSession> {
  return openSourceSession({ kafka: client, id, transactionalId: `mesh.source.${id}`, topic: RAW, now: () => 0 })
}

function page(session: SourceSession, n: number): Promise<void> {
  const record = { partition: 0, key: null, value: textBytes(`page ${n}`), headers: [] }
  return session.commit({ records: [record], state: { page: n } })
}

/** Ends of this client's transactions do not reach the broker until the returned function lets them through. */
function holdEnds(of: string): () => void {
  const held = Promise.withResolvers<null>()
  kafka.fault(({ client, kind }) => (client === of && kind === 'end-transaction' ? held.promise : null))
  return () => held.resolve(null)
}

test('a position behind another source’s open transaction is found: nothing is read and written twice', async () => {
  const first = kafka.client('first')
  const quick = await open(first, 'quick')
  const slow = await open(kafka.client('slow'), 'slow')
  const release = holdEnds('slow')
  const slowPage = page(slow, 1)
  await until(() => kafka.entries(CURSORS_TOPIC, 0).length === 1, 'the open transaction')
  await page(quick, 1)
  first.kill()

  const opening = open(kafka.client('second'), 'quick')
  setTimeout(release, 100)
  const second = await opening
  expect(second.state).toEqual({ page: 1 })
  await page(second, 2)
  await slowPage
  expect(kafka.log(RAW, 0)).toHaveLength(3)
})

test('the unknown end of a step behind another source’s open transaction is settled by what it wrote', async () => {
  const quick = await open(kafka.client('quick'), 'quick')
  const slow = await open(kafka.client('slow'), 'slow')
  const held = Promise.withResolvers<null>()
  let lost = false
  kafka.fault(({ client, kind }) => {
    if (kind !== 'end-transaction') return null
    if (client === 'slow') return held.promise
    if (lost) return null
    lost = true
    setTimeout(() => held.resolve(null), 100)
    return 'after'
  })
  const slowPage = page(slow, 1)
  await until(() => kafka.entries(CURSORS_TOPIC, 0).length === 1, 'the open transaction')
  await page(quick, 1)
  await slowPage
  expect(lost).toBe(true)
  expect(kafka.log(RAW, 0)).toHaveLength(2)
})

test('a transaction that never ends is told with its place and the way out', async () => {
  const slow = await open(kafka.client('slow'), 'slow')
  const release = holdEnds('slow')
  const slowPage = page(slow, 1)
  await until(() => kafka.entries(CURSORS_TOPIC, 0).length === 1, 'the open transaction')
  await expect(readCursorRecords(kafka, () => true, 50)).rejects.toMatchObject({
    code: 'MESH_KAFKA_UNAVAILABLE',
    place: 'mesh.cursors/0, offset 0',
    message: expect.stringContaining('find-hanging'),
  })
  release()
  await slowPage
  expect([...(await readCursorRecords(kafka, () => true))!.keys()]).toEqual(['slow'])
})
