import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Contract } from '@mesh/shared/core/contract'
import { type JoinScope, tableName, tableScope } from '@mesh/shared/core/join-scope'
import { partitionOf } from '@mesh/shared/core/partitioner'
import { textBytes } from '@mesh/shared/core/record'
import { COMMITS_TOPIC, rawTopic, refinedTopic } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { type ConnectedKafka, connectKafka } from '@mesh/shared/kafka/connect-kafka'
import {
  deadLetterTopicSpec,
  meshTopics,
  rawTopicSpec,
  refinedTopicSpec,
  stateTopicSpec,
} from '@mesh/shared/kafka/mesh-topics'
import { createFolderObjectStore } from '@mesh/shared/lake/folder-object-store'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { freezeBundle, putBundle } from '@mesh/shared/schema/bundle'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { loadStreamFolder } from '@mesh/shared/schema/stream-folder'
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest'
import type { TableId } from '../../src/adapters/join-tables.ts'
import { createTableFolder } from '../../src/adapters/table-folder.ts'
import type { Stall } from '../../src/core/stall.ts'
import type { TableStore } from '../../src/core/table-store.ts'
import { caughtUp, runStream, type Surroundings } from '../process.ts'
import { recordOf } from '../world.ts'

const PARTITIONS = 4
const SETTLE_MS = 120_000
const suffix = randomUUID().slice(0, 8)
const [CUSTOMERS, ORDERS] = [`customers-${suffix}`, `orders-${suffix}`]
const KEYS = Array.from({ length: 60 }, (_, n) => `k${n}`)
const homeOf = (key: string): number => partitionOf(textBytes(key), PARTITIONS)

let dir: string
const clients: ConnectedKafka[] = []
function connect(name: string): ConnectedKafka {
  const kafka = connectKafka({ brokers: inject('kafkaBrokers').split(','), clientId: name })
  clients.push(kafka)
  return kafka
}
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'enricher-local-'))
})
afterAll(async () => {
  await Promise.all(clients.map((kafka) => kafka.close()))
  await rm(dir, { recursive: true, force: true, maxRetries: 10 })
})

const registry = createSchemaRegistry({ url: inject('registryUrl') })
const codec = createAvroCodec(registry)
const around = (name: string): Surroundings => ({
  kafka: connect(name),
  codec,
  store: createFolderObjectStore(join(dir, 'lake')),
  cacheDir: join(dir, name),
})

async function apply(
  kafka: ConnectedKafka,
  folderName: string,
  change: (contract: Contract) => Contract,
): Promise<{ state: StreamVersions; contract: Contract }> {
  const folder = await loadStreamFolder(join(import.meta.dirname, '..', 'streams', folderName))
  const contract = change({ ...folder.contract, raw: { ...folder.contract.raw, partitions: PARTITIONS } })
  const bundle = await freezeBundle({ ...folder, contract })
  await putBundle(createFolderObjectStore(join(dir, 'lake')), bundle)
  const { name: stream } = contract
  const schemaId = await registry.register(`${refinedTopic(stream, 1)}-value`, bundle.refinedAvsc)
  await kafka.admin.ensureTopics([
    ...meshTopics().filter(({ name }) => name === COMMITS_TOPIC),
    rawTopicSpec(contract),
    refinedTopicSpec(contract, 1, false),
    deadLetterTopicSpec(contract),
    stateTopicSpec(contract, 1),
  ])
  const { hash, codeHash, contractHash } = bundle
  const bundles = [{ hash, codeHash, contractHash, schemaId, from: [] }]
  const state = {
    stream,
    epoch: 0,
    live: 1,
    rawTopicId: (await kafka.admin.topicIds([rawTopic(stream)])).get(rawTopic(stream))!,
    partitions: PARTITIONS,
    versions: [{ version: 1, status: 'live' as const, bundles, start: [0, 0, 0, 0], replay: null }],
    at: new Date().toISOString(),
  }
  return { state, contract }
}

test('two instances hold the rows of their own partitions, and joins stay right through rebalances', async () => {
  const kafka = connect('local-tables')
  const customers = await apply(kafka, 'customers', (c) => ({ ...c, name: CUSTOMERS }))
  const orders = await apply(kafka, 'orders', (c) => ({
    ...c,
    name: ORDERS,
    key: ['/customer'],
    refine: { ...c.refine, joins: c.refine.joins.map((rule) => ({ ...rule, stream: CUSTOMERS })) },
  }))
  const side = ({ state, contract }: typeof orders) => ({ partitions: state.partitions, contracts: [contract] })
  const rules = orders.contract.refine.joins
  const scopes = new Map([[tableName(rules[0]!), tableScope(rules, side(orders), side(customers))]])
  expect([...scopes.values()]).toEqual([{ kind: 'partition' } satisfies JoinScope])
  const producer = await kafka.producer()
  let n = 0
  const post = (topic: string, value: (key: string) => unknown) =>
    producer.send(
      topic,
      KEYS.map((key) =>
        recordOf({ partition: homeOf(key), key, id: `e${++n}`, value: value(key), timestamp: Date.now() }, n),
      ),
    )

  const refiner = around('customers')
  const refining = await runStream(refiner, customers.state)
  const addCustomers = async (name: string): Promise<void> => {
    await post(rawTopic(CUSTOMERS), (key) => ({ id: key, name: `${name} ${key}` }))
    await caughtUp(refiner, customers.state, refining, 1, SETTLE_MS)
  }
  const postOrders = () => post(rawTopic(ORDERS), (key) => ({ n, customer: key }))

  const start = async (name: string) => {
    const surroundings = around(name)
    const open = new Map<number | null, TableStore>()
    const stalls: Stall[] = []
    const folder = createTableFolder(join(surroundings.cacheDir, 'tables'))
    const running = await runStream(surroundings, orders.state, {
      joined: new Map([[CUSTOMERS, 1]]),
      scopes,
      openStore(id: TableId, identity) {
        const store = folder.open(id, identity)
        open.set(id.partition, store)
        return {
          ...store,
          close() {
            if (open.get(id.partition) === store) open.delete(id.partition)
            store.close()
          },
        }
      },
      onStall: (_, stall) => void (stall !== null && stalls.push(stall)),
    })
    return { running, open, stalls, surroundings }
  }

  await addCustomers('first')
  const one = await start('one')
  await postOrders()
  await caughtUp(one.surroundings, orders.state, one.running, 1, SETTLE_MS)
  await vi.waitFor(() => expect([...one.open.keys()].sort()).toEqual([0, 1, 2, 3]), {
    timeout: SETTLE_MS,
    interval: 50,
  })
  const two = await start('two')
  await vi.waitFor(
    () => {
      expect(two.open.size).toBe(2)
      for (const [partition, store] of two.open) {
        expect(store.size()).toBe(KEYS.filter((key) => homeOf(key) === partition).length)
      }
    },
    { timeout: SETTLE_MS, interval: 50 },
  )
  await postOrders()
  await caughtUp(one.surroundings, orders.state, one.running, 1, SETTLE_MS)
  await addCustomers('second')
  await two.running.stop()
  await postOrders()
  await caughtUp(one.surroundings, orders.state, one.running, 1, SETTLE_MS)
  await one.running.stop()
  await refining.stop()

  const found: string[] = []
  const offsets = await kafka.admin.offsets(refinedTopic(ORDERS, 1))
  const ranges = offsets.map((o) => ({ partition: o.partition, from: o.logStartOffset, to: o.highWatermark }))
  await kafka.readRanges(refinedTopic(ORDERS, 1), ranges, async ({ records }) => {
    for (const { value } of records) found.push(String((await codec.decode(value!)).record['customer']))
  })
  expect(found).toHaveLength(3 * KEYS.length)
  for (const key of KEYS) {
    const own = found.filter((name) => name.endsWith(` ${key}`))
    expect(own).toHaveLength(3)
    expect(own.slice(0, 2)).toEqual([`first ${key}`, `first ${key}`])
  }
  expect([...one.stalls, ...two.stalls]).toEqual([])
  expect([one.running.fatal(), two.running.fatal()]).toEqual([null, null])
}, 600_000)
