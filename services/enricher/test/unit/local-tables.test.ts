import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { partitionOf } from '@mesh/shared/core/partitioner'
import { textBytes } from '@mesh/shared/core/record'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { JoinTablesDeps, TableId } from '../../src/adapters/join-tables.ts'
import { createTableFolder } from '../../src/adapters/table-folder.ts'
import type { Stall } from '../../src/core/stall.ts'
import type { TableStore } from '../../src/core/table-store.ts'
import { caughtUp, type ProcessOptions, runStream, runToEnd } from '../process.ts'
import { createWorld, type Posted, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
const PARTITIONS = 4
const PATIENT = { timeout: 50_000 }
const joined = new Map([['customers', 1]])
const scopes = new Map([['customers/latest', { kind: 'partition' } as const]])
let world: World
let customers: StreamVersions
let orders: StreamVersions
beforeEach(async () => {
  world = await createWorld()
  customers = await world.apply('customers', { partitions: PARTITIONS })
  orders = await world.apply('orders', { partitions: PARTITIONS })
})
afterEach(() => world.close())

const homeOf = (key: string) => partitionOf(textBytes(key), PARTITIONS)
let ids = 0
const order = (customer: string, partition = homeOf(customer)): Posted => ({
  partition,
  key: customer,
  id: `o${++ids}`,
  value: { n: ids, customer },
})
async function addCustomers(keys: readonly string[], name = (key: string) => `name of ${key}`): Promise<void> {
  await world.post(
    'raw.customers.v1',
    keys.map((key) => ({ partition: homeOf(key), key, id: `c${++ids}`, value: { id: key, name: name(key) } })),
  )
  await runToEnd(world, customers)
}
/** Name of the joined row by order id. */
async function names(): Promise<Map<string, unknown>> {
  const found = new Map<string, unknown>()
  for (const { record } of await world.refinedOf('orders')) {
    const id = Buffer.from(record.headers.find(({ name }) => name === 'ce_id')!.value!).toString()
    found.set(id, (await world.codec.decode(record.value!)).record['customer'])
  }
  return found
}

type Opened = { readonly id: TableId; readonly store: TableStore; closed: boolean }

/** Files of one process, and what it has open of them. */
function folderOf(name: string): { openStore: JoinTablesDeps['openStore']; opened: Opened[]; open(): string[] } {
  const folder = createTableFolder(join(world.cacheDir, 'tables', name))
  const opened: Opened[] = []
  return {
    opened,
    openStore(id, identity) {
      const store = folder.open(id, identity)
      const entry: Opened = { id, store, closed: false }
      opened.push(entry)
      return {
        ...store,
        close() {
          entry.closed = true
          store.close()
        },
      }
    },
    open: () =>
      opened.flatMap(({ id, closed }) => (closed ? [] : [id.partition === null ? 'all' : String(id.partition)])).sort(),
  }
}

type Process = Awaited<ReturnType<typeof runStream>> & ReturnType<typeof folderOf> & { readonly stalls: Stall[] }
async function start(name: string, options: ProcessOptions = {}): Promise<Process> {
  const stalls: Stall[] = []
  const folder = folderOf(name)
  const running = await runStream(world, orders, {
    joined,
    scopes,
    openStore: folder.openStore,
    onStall: (_, stall) => stall !== null && stalls.push(stall),
    ...options,
  })
  return { ...running, ...folder, stalls }
}
const KEYS = Array.from({ length: 40 }, (_, n) => `k${n}`)

test('each of two processes holds the rows of its own partitions, and joins are right through a rebalance', async () => {
  await addCustomers(KEYS)
  const first = await start('a', { kafka: world.kafka.client('a') })
  await world.post(
    RAW,
    KEYS.map((key) => order(key)),
  )
  await caughtUp(world, orders, first)
  expect(first.open()).toEqual(['0', '1', '2', '3'])
  expect(first.opened.map(({ store }) => store.size()).reduce((sum, rows) => sum + rows)).toBe(KEYS.length)
  const second = await start('b', { kafka: world.kafka.client('b') })
  await vi.waitFor(() => expect(second.open()).toHaveLength(2), PATIENT)
  // A store is open before its rows are read.
  await vi.waitFor(() => {
    for (const { id, store } of second.opened) {
      expect(store.size()).toBe(KEYS.filter((key) => homeOf(key) === id.partition).length)
      expect([...store.positions().keys()]).toEqual([id.partition])
    }
  }, PATIENT)
  await addCustomers(KEYS, (key) => `new name of ${key}`)
  await world.post(
    RAW,
    KEYS.map((key) => order(key)),
  )
  await caughtUp(world, orders, second)
  await second.stop()
  await world.post(
    RAW,
    KEYS.map((key) => order(key)),
  )
  await caughtUp(world, orders, first)
  await first.stop()
  const values = [...(await names()).values()]
  expect(values).toHaveLength(3 * KEYS.length)
  expect(values.filter((name) => name === null)).toEqual([])
  expect(values.slice(0).filter((name) => String(name).startsWith('new name')).length).toBeGreaterThanOrEqual(
    KEYS.length,
  )
  expect([...first.stalls, ...second.stalls]).toEqual([])
  expect([first.fatal(), second.fatal()]).toEqual([null, null])
}, 120_000)

test('a record in a partition that its key does not belong to finds its row all the same: the table is read whole', async () => {
  await addCustomers(KEYS)
  const running = await start('a')
  const astray = KEYS.map((key) => order(key, (homeOf(key) + 1) % PARTITIONS))
  await world.post(RAW, astray)
  await caughtUp(world, orders, running)
  const found = await names()
  expect(astray.map(({ id }) => found.get(id!))).toEqual(KEYS.map((key) => `name of ${key}`))
  expect(running.open()).toEqual(['all'])
  expect(JSON.stringify(running.stalls)).toContain('may lie in another partition')
  await running.stop()
})

test('a row with a sub key lies with its raw record, and is found by it', async () => {
  const key = KEYS.find((one) => homeOf(`${one}/s`) !== homeOf(one))!
  // As `ok([{ record, subKey: 's' }])` of the joined stream writes it.
  const avsc = JSON.stringify({
    type: 'record',
    name: 'Customer',
    fields: ['id', 'name'].map((name) => ({ name, type: 'string' })),
  })
  const producer = await world.kafka.producer()
  const src = `main;${customers.rawTopicId};${homeOf(key)};7;1`
  await addCustomers([key])
  const schemaId = customers.versions[0]!.bundles[0]!.schemaId
  const value = world.codec.encode(schemaId, avsc, { id: key, name: 'of a sub key' })
  const headers = [{ name: 'mesh-src', value: textBytes(src) }]
  await producer.send('refined.customers.v1', [{ partition: homeOf(key), key: textBytes(`${key}/s`), value, headers }])
  const running = await start('a')
  const posted = [order(`${key}/s`), order(key)]
  await world.post(RAW, posted)
  await caughtUp(world, orders, running)
  const found = await names()
  expect(posted.map(({ id }) => found.get(id!))).toEqual(['of a sub key', `name of ${key}`])
  await running.stop()
})

test('a topic that has another number of partitions than was applied is joined whole, from the start and later', async () => {
  await addCustomers(KEYS)
  let grown = false
  const { kafka } = world
  const partitionCount: typeof kafka.admin.partitionCount = async (topic) =>
    grown && topic === 'refined.customers.v1' ? PARTITIONS * 2 : kafka.admin.partitionCount(topic)
  const counting = { ...kafka, admin: { ...kafka.admin, partitionCount } }
  const before = await start('a', { kafka: counting })
  expect(before.opened.every(({ id }) => id.partition !== null)).toBe(true)
  grown = true
  await vi.waitFor(() => expect(before.open()).toEqual(['all']), PATIENT)
  await world.post(
    RAW,
    KEYS.map((key) => order(key)),
  )
  await caughtUp(world, orders, before)
  await before.stop()
  const after = await start('b', { kafka: counting })
  expect(after.open()).toEqual(['all'])
  await after.stop()
  expect([...(await names()).values()]).toEqual(expect.arrayContaining(KEYS.map((key) => `name of ${key}`)))
}, 120_000)

test('a part that breaks is opened again from its topic; only its partition waits', async () => {
  await addCustomers(KEYS)
  const running = await start('a')
  await vi.waitFor(() => expect(running.open()).toHaveLength(PARTITIONS), PATIENT)
  const [broken] = running.opened
  broken!.store.close()
  await addCustomers(KEYS, (key) => `new name of ${key}`)
  await world.post(
    RAW,
    KEYS.map((key) => order(key)),
  )
  await caughtUp(world, orders, running)
  expect(running.fatal()).toBeNull()
  expect(running.open()).toEqual(['0', '1', '2', '3'])
  const own = KEYS.filter((key) => homeOf(key) === broken!.id.partition)
  expect([...(await names()).values()]).toEqual(expect.arrayContaining(own.map((key) => `new name of ${key}`)))
  await running.stop()
})

test('a row under a schema that the registry does not have stops the partitions that look it up, until it has it', async () => {
  const [lost, fine] = [KEYS[0]!, KEYS.find((key) => homeOf(key) !== homeOf(KEYS[0]!))!]
  await addCustomers([fine])
  const avsc = JSON.stringify({
    type: 'record',
    name: 'Customer',
    fields: ['id', 'name'].map((name) => ({ name, type: 'string' })),
  })
  const value = world.codec.encode(77, avsc, { id: lost, name: 'Ada' })
  const producer = await world.kafka.producer()
  const headers = [{ name: 'mesh-src', value: textBytes(`main;${customers.rawTopicId};${homeOf(lost)};0;0`) }]
  await producer.send('refined.customers.v1', [{ partition: homeOf(lost), key: textBytes(lost), value, headers }])
  const running = await start('a')
  await world.post(RAW, [order(lost), order(fine)])
  await vi.waitFor(async () => expect([...(await names()).values()]).toEqual([`name of ${fine}`]), PATIENT)
  await vi.waitFor(() => expect(JSON.stringify(running.stalls)).toContain('the schema 77 of a joined row'), PATIENT)
  expect(running.stalls).toHaveLength(1)
  expect(running.fatal()).toBeNull()
  world.addSchema(77, avsc)
  await caughtUp(world, orders, running)
  expect([...(await names()).values()].sort()).toEqual(['Ada', `name of ${fine}`])
  await running.stop()
}, 120_000)

test('a part that cannot be opened stops its partition and no other, until it can be', async () => {
  await addCustomers(KEYS)
  let away = true
  const folder = folderOf('a')
  const running = await start('a', {
    openStore(id, identity) {
      if (away && id.partition === 0) throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'nobody answers')
      return folder.openStore(id, identity)
    },
  })
  const posted = KEYS.map((key) => order(key))
  await world.post(RAW, posted)
  const others = posted.filter(({ partition }) => partition !== 0)
  await vi.waitFor(async () => expect((await names()).size).toBe(others.length), PATIENT)
  const reason = expect.stringContaining('nobody answers') as string
  await vi.waitFor(() => expect(running.stalls).toMatchObject([{ kind: 'stopped', reason }]), PATIENT)
  expect((await world.committed('orders')).get(0)).toBeUndefined()
  away = false
  await caughtUp(world, orders, running)
  expect(running.fatal()).toBeNull()
  expect(new Set((await names()).values())).toEqual(new Set(KEYS.map((key) => `name of ${key}`)))
  await running.stop()
}, 120_000)
