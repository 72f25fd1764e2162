import type { Contract } from '@mesh/shared/core/contract'
import { textBytes } from '@mesh/shared/core/record'
import { VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createMemoryTableStore } from '../../src/core/table-store.ts'
import { createEnricher } from '../../src/service.ts'
import { type ProcessOptions, processDeps } from '../process.ts'
import { createWorld, type World } from '../world.ts'

let world: World
let fatal: unknown
beforeEach(async () => {
  world = await createWorld()
  fatal = null
})
afterEach(() => world.close())

async function publish(...states: readonly StreamVersions[]): Promise<void> {
  const producer = await world.kafka.producer()
  for (const state of states) {
    const [key, value] = [textBytes(state.stream), textBytes(JSON.stringify(state))]
    await producer.send(VERSIONS_TOPIC, [{ partition: 0, key, value, headers: [] }])
  }
}

async function start(kafka: KafkaPort = world.kafka, options: ProcessOptions = {}) {
  const deps = await processDeps(world, { kafka, ...options }, (error) => {
    fatal ??= error
  })
  const enricher = createEnricher({ ...deps, logger: SILENT_LOGGER })
  await enricher.start()
  return enricher
}

const rows = async (stream: string, version = 1) =>
  Promise.all(
    (await world.refinedOf(stream, version)).map(
      async ({ record }) => (await world.codec.decode(record.value!)).record,
    ),
  )

describe('enricher', () => {
  test('runs what mesh.versions names, also what is named later, and joins the live version', async () => {
    const [customers, orders] = [await world.apply('customers'), await world.apply('orders')]
    await world.post('raw.customers.v1', [{ key: 'c1', id: '1', value: { id: 'c1', name: 'Ada' } }])
    await publish(customers)
    const enricher = await start()
    await expect.poll(async () => (await rows('customers')).length).toBe(1)
    await publish(orders)
    await world.post('raw.orders.v1', [{ id: 'o1', value: { n: 1, customer: 'c1' } }])
    await expect.poll(async () => await rows('orders')).toMatchObject([{ n: 1, customer: 'Ada' }])
    await expect.poll(() => enricher.readiness().ready).toBe(true)
    await enricher.stop()
    expect(fatal).toBeNull()
  })

  test('a stream that joins one that is not applied waits, says so, and runs once it is there', async () => {
    const orders = await world.apply('orders')
    await publish(orders)
    await world.post('raw.orders.v1', [{ id: 'o1', value: { n: 1 } }])
    const enricher = await start()
    expect(enricher.readiness().ready).toBe(false)
    expect(JSON.stringify(enricher.readiness().detail)).toContain('the joined stream customers is not applied')
    await publish(await world.apply('customers'))
    await expect.poll(async () => (await rows('orders')).length).toBe(1)
    await enricher.stop()
  })

  test('a table is held by partition where its key is the own key, and whole as soon as a bundle joins otherwise', async () => {
    const opened: (number | null)[] = []
    const openStore: ProcessOptions['openStore'] = ({ historyMs, partition }) => {
      opened.push(partition)
      return createMemoryTableStore(historyMs)
    }
    const byCustomer = (c: Contract): Contract => ({ ...c, key: ['/customer'] })
    const customers = await world.apply('customers', { partitions: 2 })
    const orders = await world.apply('orders', { partitions: 2, contract: byCustomer })
    const whole = await world.bind('orders', {
      contract: (c) => ({
        ...byCustomer(c),
        refine: { ...c.refine, joins: c.refine.joins.map((join) => ({ ...join, scope: 'global' as const })) },
      }),
    })
    await publish(customers, orders)
    const enricher = await start(world.kafka, { openStore })
    await expect.poll(() => [...opened].sort()).toEqual([0, 1])
    const [version] = orders.versions
    await publish({ ...orders, versions: [{ ...version!, bundles: [...version!.bundles, whole] }] })
    await expect.poll(() => opened.at(-1)).toBeNull()
    await enricher.stop()
    expect(fatal).toBeNull()
  })

  test('a bundle that cannot be loaded stops its stream only', async () => {
    const customers = await world.apply('customers')
    const orders = await world.apply('orders')
    const broken = { ...orders.versions[0]!, bundles: [{ ...orders.versions[0]!.bundles[0]!, hash: 'f'.repeat(64) }] }
    await publish({ ...orders, versions: [broken] }, customers)
    await world.post('raw.customers.v1', [{ key: 'c1', id: '1', value: { id: 'c1', name: 'Ada' } }])
    const enricher = await start()
    await expect.poll(async () => (await rows('customers')).length).toBe(1)
    await expect.poll(() => JSON.stringify(enricher.readiness().detail)).toContain('cannot be loaded')
    await enricher.stop()
    expect(fatal).toBeNull()
  })

  test('a new binding takes over where the former one committed, without a restart of the process', async () => {
    const contract = (c: Contract) => ({ ...c, refine: { ...c.refine, joins: [] } })
    const state = await world.apply('orders', { contract })
    const next = await world.bind('orders', { contract: (c) => ({ ...contract(c), owner: 'other@example.com' }) })
    await publish(state)
    const enricher = await start()
    await world.post(
      'raw.orders.v1',
      [1, 2].map((n) => ({ id: `o${n}`, value: { n } })),
    )
    await expect.poll(async () => (await world.committed('orders')).get(0)?.offset).toBe(2)
    const [version] = state.versions
    const runningKeys = () => enricher.readiness().detail['running'] as readonly string[]
    await expect.poll(runningKeys).toHaveLength(1)
    const [former] = runningKeys()
    await publish({ ...state, versions: [{ ...version!, bundles: [version!.bundles[0]!, { ...next, from: [2] }] }] })
    // What is decided before the binding arrives stays decided by the former code.
    await expect.poll(() => runningKeys().filter((key) => key !== former)).toHaveLength(1)
    await world.post(
      'raw.orders.v1',
      [3, 4].map((n) => ({ id: `o${n}`, value: { n } })),
    )
    await expect.poll(async () => (await rows('orders')).map((row) => row['n'])).toEqual([1, 2, 3, 4])
    await expect
      .poll(async () => (await world.commitEvents()).at(-1))
      .toMatchObject({ nextOffset: 4, codeHash: next.codeHash })
    await enricher.stop()
    expect(fatal).toBeNull()
  })

  test('a broker that takes no write ends the process, and nothing is committed', async () => {
    const state = await world.apply('customers')
    await publish(state)
    const deaf = { send: () => Promise.reject(new Error('no broker')), close: async () => {} }
    const enricher = await start({ ...world.kafka, producer: async () => deaf })
    await world.post('raw.customers.v1', [{ key: 'c1', id: '1', value: { id: 'c1', name: 'Ada' } }])
    await expect.poll(() => fatal).toMatchObject({ message: 'no broker' })
    expect((await world.committed('customers')).size).toBe(0)
    await enricher.stop()
  })
})
