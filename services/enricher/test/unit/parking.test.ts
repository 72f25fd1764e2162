import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { bytesText, headerText } from '@mesh/shared/core/record'
import { NONE_PARKED, stillParkedIn } from '@mesh/shared/core/still-parked'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { createBodyCache } from '../../src/core/body-cache.ts'
import type { Books } from '../../src/core/books.ts'
import { SEQUENCE_BLOCK, stillParked } from '../../src/core/books.ts'
import { readBooks } from '../../src/core/books-metadata.ts'
import type { Stall } from '../../src/core/stall.ts'
import { srcOf } from '../orders.ts'
import { caughtUp, type ProcessOptions, type Running, runStream, runToEnd, testParking } from '../process.ts'
import { candidateOf, emitReplay } from '../replay.ts'
import { createWorld, type Log, type Posted, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
const STATE = 'mesh.state.orders.v1'
const joined = new Map([['customers', 1]])
let world: World
let customers: StreamVersions
let orders: StreamVersions
let now = Date.UTC(2026, 0, 1)
beforeEach(async () => {
  world = await createWorld()
  customers = await world.apply('customers')
  orders = await applyOrders('dead-letter')
})
afterEach(() => world.close())

async function applyOrders(
  giveUp: 'null' | 'dead-letter',
  guarantee: 'at-least-once' | 'exactly-once' = 'at-least-once',
): Promise<StreamVersions> {
  return world.apply('orders', {
    contract: (c) => ({
      ...c,
      refine: {
        ...c.refine,
        guarantee,
        joins: c.refine.joins.map((join) => ({ ...join, onMissing: { waitMs: 30_000, giveUp } })),
      },
    }),
  })
}

const start = (options: ProcessOptions = {}): Promise<Running> =>
  runStream(world, orders, { joined, epochMs: () => now, ...options })
async function addCustomer(id: string, name: string): Promise<void> {
  await world.post('raw.customers.v1', [{ key: id, id: `${id}-${name}`, value: { id, name } }])
  await runToEnd(world, customers)
}
const order = (key: string, n: number, customer: string): Posted => ({ key, id: `o${n}`, value: { n, customer } })
async function booksOf(): Promise<Books> {
  return readBooks((await world.committed('orders')).get(0)!.metadata, 'test')
}
const waiting = async () => stillParkedIn((await world.committed('orders')).get(0)!.metadata)
async function rows(): Promise<{ src: string; n: unknown; customer: unknown }[]> {
  const found = []
  for (const { record } of await world.refinedOf('orders')) {
    const { record: row } = await world.codec.decode(record.value!)
    found.push({ src: srcOf(record), n: row['n'], customer: row['customer'] })
  }
  return found
}
/** State records that are not tombstoned, as a compaction would leave them. */
async function liveState(): Promise<string[]> {
  const last = new Map((await world.read(STATE)).map(({ record }) => [bytesText(record.key!), record.value]))
  return [...last].filter(([, value]) => value !== null).map(([key]) => key)
}
const eventually = (check: () => Promise<void> | void): Promise<void> =>
  vi.waitFor(check, { timeout: 50_000, interval: 10 })
const deadCodes = (log: Log): (string | null)[] =>
  log.map(({ record }) => headerText(record.headers, 'mesh-error-code'))

describe.each(['at-least-once', 'exactly-once'] as const)('parking, %s', (guarantee) => {
  beforeEach(async () => {
    orders = await applyOrders('dead-letter', guarantee)
  })

  test('a record that waits lets other keys pass, and its own key follows it in order', async () => {
    await addCustomer('c2', 'Bo')
    await world.post(RAW, [order('a', 1, 'c1'), order('b', 2, 'c2'), order('a', 3, 'c2'), order('b', 4, 'c2')])
    const running = await start()
    await caughtUp(world, orders, running)
    expect((await rows()).map(({ n }) => n)).toEqual([2, 4])
    expect((await booksOf()).counts).toMatchObject({ ok: 2, parked: 2, outputs: 2 })
    expect(await liveState()).toEqual(['parked/a/0', 'parked/a/2'])
    expect(await waiting()).toEqual({ records: 2, from: 0 })
    await addCustomer('c1', 'Ada')
    await eventually(async () => expect((await rows()).length).toBe(4))
    await eventually(async () => expect(await liveState()).toEqual([]))
    await running.stop()
    expect((await rows()).slice(2)).toEqual([
      { src: `parked;${orders.rawTopicId};0;${SEQUENCE_BLOCK - 2};0`, n: 1, customer: 'Ada' },
      { src: `parked;${orders.rawTopicId};0;${SEQUENCE_BLOCK - 1};0`, n: 3, customer: 'Bo' },
    ])
    const origins = (await world.refinedOf('orders')).map(({ record }) => headerText(record.headers, 'mesh-origin'))
    expect(origins).toEqual([null, null, `${orders.rawTopicId};0;0;0`, `${orders.rawTopicId};0;2;0`])
    const books = await booksOf()
    expect(books.counts).toMatchObject({ ok: 2, parked: 2, outputs: 2 })
    expect(books.parked).toMatchObject({ next: SEQUENCE_BLOCK, ok: 2, outputs: 2, drop: 0, deadLetter: 0 })
    expect(stillParked(books)).toBe(0)
    expect(await waiting()).toEqual(NONE_PARKED)
    const parked = (await world.commitEvents()).filter(({ lane }) => lane === 'parked').at(-1)
    expect(parked).toMatchObject({ layer: 'refined', counts: { ok: 2, outputs: 2 } })
    expect(running.fatal()).toBeNull()
  })

  test('once its queue is empty a key flows in lane main again', async () => {
    await world.post(RAW, [order('a', 1, 'c1')])
    const running = await start()
    await caughtUp(world, orders, running)
    await addCustomer('c1', 'Ada')
    await eventually(async () => expect((await rows()).length).toBe(1))
    await world.post(RAW, [order('a', 2, 'c1')])
    await eventually(async () => expect((await rows()).length).toBe(2))
    await running.stop()
    expect((await rows()).map(({ src }) => parseMeshSrc(src).lane)).toEqual(['parked', 'main'])
  })

  test('after the time is up it is a dead letter that says how often it was tried, and what followed goes on', async () => {
    await addCustomer('c2', 'Bo')
    await world.post(RAW, [order('a', 1, 'c1'), order('a', 2, 'c2')])
    const running = await start()
    await caughtUp(world, orders, running)
    now += 29_999
    await caughtUp(world, orders, running)
    expect(await world.deadLettersOf('orders')).toEqual([])
    now += 1
    await eventually(async () => expect((await rows()).length).toBe(1))
    await running.stop()
    const dead = await world.deadLettersOf('orders')
    expect(deadCodes(dead)).toEqual(['MESH_JOIN_MISSING'])
    expect(Number(headerText(dead[0]!.record.headers, 'mesh-attempt'))).toBeGreaterThan(1)
    expect(srcOf(dead[0]!.record)).toBe(`main;${orders.rawTopicId};0;0;0`)
    expect((await booksOf()).parked).toMatchObject({ ok: 1, deadLetter: 1 })
  })

  test('a restart finds what is parked, with its bytes, and releases it', async () => {
    const headers = [['x', 'y']] as const
    await world.post(RAW, [
      { ...order('a', 1, 'c1'), headers },
      { key: 'a', id: 'gone', value: null },
      order('b', 2, 'c1'),
    ])
    await runToEnd(world, orders, { joined, epochMs: () => now })
    expect(stillParked(await booksOf())).toBe(3)
    await addCustomer('c1', 'Ada')
    const running = await start({ parking: testParking() })
    await eventually(async () => expect(stillParked(await booksOf())).toBe(0))
    await running.stop()
    const refined = (await world.refinedOf('orders')).map(({ record }) => record)
    expect(refined.map((record) => bytesText(record.key!))).toEqual(['a', 'a', 'b'])
    expect(refined[1]!.value).toBeNull()
    const raw = (await world.rawOf('orders')).map(({ record }) => record)
    expect(refined.map(({ timestamp }) => timestamp)).toEqual(raw.map(({ timestamp }) => timestamp))
    expect(headerText(refined[0]!.headers, 'x')).toBe('y')
  })

  test.each([
    ['records', { maxRecords: 2 }],
    ['bytes for knowing them', { maxIndexBytes: 1500 }],
  ])('at the most parked %s the partition waits, and goes on as room comes', async (_what, bound) => {
    const stalls: (Stall | null)[] = []
    await world.post(
      RAW,
      [1, 2, 3, 4, 5].map((n) => order(`k${n}`, n, 'c1')),
    )
    const running = await start({
      parking: testParking(bound),
      onStall: (_place, stall) => stalls.push(stall),
    })
    await eventually(async () => expect((await world.committed('orders')).get(0)?.offset).toBe(2))
    await eventually(() => expect(stalls).toEqual([{ kind: 'parked-full', records: 2 }]))
    await addCustomer('c1', 'Ada')
    await eventually(async () => expect((await rows()).length).toBe(5))
    await caughtUp(world, orders, running)
    await running.stop()
    expect(stalls).toEqual([{ kind: 'parked-full', records: 2 }, null])
    expect((await rows()).map(({ n }) => n).sort()).toEqual([1, 2, 3, 4, 5])
  })

  test('bodies that no memory holds are read from the state topic', async () => {
    await world.post(
      RAW,
      Array.from({ length: 20 }, (_, n) => order(`k${n % 7}`, n, 'c1')),
    )
    const running = await start({ bodies: createBodyCache(0) })
    await caughtUp(world, orders, running)
    await addCustomer('c1', 'Ada')
    await eventually(async () => expect((await rows()).length).toBe(20))
    await running.stop()
    expect(running.fatal()).toBeNull()
  })

  test('duplicates and poison behind a parked key have their fates at once', async () => {
    await world.post(RAW, [
      order('a', 1, 'c1'),
      { key: 'a', id: 'o1', value: { n: 1, customer: 'c1' } },
      { key: 'a', id: 'bad', value: Buffer.from('{') },
    ])
    await runToEnd(world, orders, { joined, epochMs: () => now })
    expect((await booksOf()).counts).toMatchObject({ parked: 1, duplicate: 1, deadLetter: 1 })
  })
})

test('given up with null, it is decided with what is there', async () => {
  orders = await applyOrders('null')
  await world.post(RAW, [order('a', 1, 'c1')])
  const running = await start()
  await caughtUp(world, orders, running)
  now += 30_000
  await eventually(async () => expect(await rows()).toMatchObject([{ n: 1, customer: null }]))
  await running.stop()
})

test('a state topic that has lost a parked record stops the partition, and says so', async () => {
  await world.post(RAW, [order('a', 1, 'c1'), order('b', 2, 'c1')])
  await runToEnd(world, orders, { joined, epochMs: () => now })
  world.kafka.trim(STATE, 0, 1)
  const stalls: (Stall | null)[] = []
  const running = await start({ onStall: (_, stall) => stalls.push(stall) })
  await eventually(async () => expect(JSON.stringify(stalls)).toContain('MESH_REFINE_STATE_LOST'))
  expect(running.fatal()).toBeNull()
  await running.stop()
})

test('without a state topic what has to be parked stops the partition, and what needs not goes on until then', async () => {
  await addCustomer('c2', 'Bo')
  await world.kafka.admin.deleteTopics([STATE])
  await world.post(RAW, [order('b', 1, 'c2'), order('a', 2, 'c1')])
  const stalls: (Stall | null)[] = []
  const running = await start({ onStall: (_, stall) => stalls.push(stall) })
  await eventually(async () => expect(JSON.stringify(stalls)).toContain('there is no state topic to park on'))
  await eventually(async () => expect((await booksOf()).counts).toMatchObject({ ok: 1, parked: 0 }))
  expect(running.fatal()).toBeNull()
  await running.stop()
})

test('a parked record that is lost while the partition runs stops it, and other keys are not released past it', async () => {
  await world.post(RAW, [order('a', 1, 'c1')])
  const stalls: (Stall | null)[] = []
  const running = await start({
    onStall: (_, stall) => stalls.push(stall),
    bodies: createBodyCache(0),
  })
  await caughtUp(world, orders, running)
  world.kafka.trim(STATE, 0, 1)
  now += 30_000
  await eventually(async () => expect(stalls).toMatchObject([{ kind: 'stopped' }]))
  expect(running.fatal()).toBeNull()
  expect((await booksOf()).counts).toMatchObject({ parked: 1 })
  await running.stop()
})

test.each([
  ['at-least-once', 'exactly-once'],
  ['exactly-once', 'at-least-once'],
] as const)(
  'a new bundle changes %s to %s, with records parked, and every output is there once',
  async (before, after) => {
    orders = await applyOrders('dead-letter', before)
    await addCustomer('c2', 'Bo')
    await world.post(RAW, [order('a', 1, 'c1'), order('b', 2, 'c2'), order('a', 3, 'c2')])
    await runToEnd(world, orders, { joined, epochMs: () => now })
    const binding = (await applyOrders('dead-letter', after)).versions[0]!.bundles[0]!
    const [version] = orders.versions
    orders = { ...orders, versions: [{ ...version!, bundles: [...version!.bundles, { ...binding, from: [3] }] }] }
    await world.post(RAW, [order('a', 4, 'c2'), order('b', 5, 'c2')])
    await runToEnd(world, orders, { joined, epochMs: () => now })
    await addCustomer('c1', 'Ada')
    const running = await start()
    await eventually(async () => expect(stillParked(await booksOf())).toBe(0))
    await running.stop()
    expect(running.fatal()).toBeNull()
    expect((await rows()).map(({ n }) => n)).toEqual([2, 5, 1, 3, 4])
    const books = await booksOf()
    expect(books.transactional).toBe(after === 'exactly-once')
    expect(books.counts.outputs + books.parked.outputs).toBe(5)
  },
)

test.each(['at-least-once', 'exactly-once'] as const)(
  'a candidate takes what is parked from its replayed history over to raw, %s',
  async (guarantee) => {
    orders = await applyOrders('dead-letter', guarantee)
    await world.post(RAW, [order('a', 1, 'c1'), order('b', 2, 'c1'), order('a', 3, 'c2')])
    await addCustomer('c2', 'Bo')
    await candidateOf(world, orders, { ends: null, changeover: [3] })
    const ends = await emitReplay(world, 'orders', await world.rawOf('orders'), orders)
    const state = await candidateOf(world, orders, { ends, changeover: [3] })
    await world.post(RAW, [order('b', 4, 'c2'), order('c', 5, 'c2')])
    const running = await runStream(world, state, { joined, epochMs: () => now, version: 2 })
    await caughtUp(world, state, running, 2)
    const committed = async () => readBooks((await world.committed('orders', 2)).get(0)!.metadata, 'test')
    await eventually(async () => expect(stillParked(await committed())).toBe(4))
    await addCustomer('c1', 'Ada')
    await eventually(async () => expect(stillParked(await committed())).toBe(0))
    await running.stop()
    expect(running.fatal()).toBeNull()
    const refined = (await world.refinedOf('orders', 2)).map(({ record }) => headerText(record.headers, 'ce_id'))
    expect(refined).toEqual(['o5', 'o1', 'o3', 'o2', 'o4'])
    expect((await committed()).counts).toMatchObject({ ok: 1, parked: 4 })
  },
)
