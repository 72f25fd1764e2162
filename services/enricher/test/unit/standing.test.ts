import type { Contract } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { Committed } from '@mesh/shared/kafka/port'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Stall } from '../../src/core/stall.ts'
import { caughtUp, runStream } from '../process.ts'
import { createWorld, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
const GROUP = 'mesh.enricher.refined.orders.v1'
let world: World
let orders: StreamVersions
let stalls: Map<string, Stall | null>
const onStall = (place: string, stall: Stall | null) => void stalls.set(place, stall)
const eventually = (check: () => Promise<void> | void): Promise<void> =>
  vi.waitFor(check, { timeout: 50_000, interval: 10 })
const noJoins = (c: Contract): Contract => ({ ...c, refine: { ...c.refine, joins: [] } })
beforeEach(async () => {
  world = await createWorld()
  stalls = new Map()
  orders = await world.apply('orders', { contract: noJoins, partitions: 2 })
})
afterEach(() => world.close())

const posted = (n: number) => ({ partition: n % 2, key: `k${n}`, id: `o${n}`, value: { n } })
const refinedOf = async (partition: number) =>
  (await world.refinedOf('orders')).filter((one) => one.partition === partition).length
const committedOf = async (partition: number) => (await world.committed('orders')).get(partition)?.offset ?? 0

/** Somebody else's hands on the group: an offset without books. */
async function moveOffset(partition: number, nextOffset: number, metadata: string): Promise<void> {
  const other = world.kafka.consumer({
    groupId: GROUP,
    topics: [RAW],
    async assign(assigned) {
      const own = assigned.partition === partition
      const handler = { process: async () => null, tick: async () => (own ? { nextOffset, metadata } : null) }
      return { position: 0, paused: true, handler }
    },
    tickMs: 5,
    onFatal: () => {},
  })
  await other.start()
  await eventually(async () => expect(await committedOf(partition)).toBe(nextOffset))
  await other.stop()
}

/** Four records are refined, and then the books of partition 0 are gone from its offset. Resolves with what they were. */
async function loseBooks(): Promise<Committed> {
  await world.post(RAW, [0, 1, 2, 3].map(posted))
  const first = await runStream(world, orders)
  await caughtUp(world, orders, first)
  await first.stop()
  const books = (await world.committed('orders')).get(0)!
  await moveOffset(0, 1, '')
  return books
}

test('lost books stop their partition and no other; with an offset that carries them again it goes on', async () => {
  const books = await loseBooks()
  await world.post(RAW, [4, 5].map(posted))
  const running = await runStream(world, orders, { onStall })
  await eventually(async () => expect(await committedOf(1)).toBe(3))
  await eventually(() =>
    expect(stalls.get('orders/v1/0')).toMatchObject({
      kind: 'stopped',
      reason: expect.stringMatching(/MESH_REFINE_BOOKS_LOST .* — .*mesh replay/) as string,
    }),
  )
  expect(await refinedOf(0)).toBe(2)
  expect(await refinedOf(1)).toBe(3)
  expect(running.fatal()).toBeNull()
  await running.stop()
  expect(stalls.get('orders/v1/0')).toBeNull()
  await moveOffset(0, books.offset, books.metadata)
  const healed = await runStream(world, orders, { onStall })
  await caughtUp(world, orders, healed)
  await healed.stop()
  expect(await refinedOf(0)).toBe(3)
})

test('a restore that fails for a while is tried again, and the partition then begins where it was left', async () => {
  await world.post(RAW, [0, 1, 2, 3].map(posted))
  let broken = true
  const { kafka } = world
  const offsets: typeof kafka.admin.offsets = async (topic) => {
    const all = await kafka.admin.offsets(topic)
    if (!broken || topic !== 'refined.orders.v1') return all
    return all.filter(({ partition }) => partition !== 0)
  }
  const running = await runStream(world, orders, { onStall, kafka: { ...kafka, admin: { ...kafka.admin, offsets } } })
  await eventually(async () => expect(await committedOf(1)).toBe(2))
  await eventually(() => expect(stalls.get('orders/v1/0')).toMatchObject({ kind: 'stopped' }))
  expect(await committedOf(0)).toBe(0)
  broken = false
  await caughtUp(world, orders, running)
  await eventually(() => expect(stalls.get('orders/v1/0')).toBeNull())
  expect(await refinedOf(0)).toBe(2)
  await world.post(RAW, [4, 6].map(posted))
  await caughtUp(world, orders, running)
  await running.stop()
  expect(await refinedOf(0)).toBe(4)
})

test('a position that retention has passed stops its partition; nothing is skipped in silence', async () => {
  await world.post(RAW, [0, 1, 2, 3].map(posted))
  const first = await runStream(world, orders)
  await caughtUp(world, orders, first)
  await first.stop()
  await world.post(RAW, [4, 6, 8, 5].map(posted))
  world.kafka.trim(RAW, 0, 4)
  const running = await runStream(world, orders, { onStall })
  await eventually(async () => expect(await committedOf(1)).toBe(3))
  await eventually(() => expect(JSON.stringify(stalls.get('orders/v1/0'))).toContain('MESH_KAFKA_OFFSET_OUT_OF_RANGE'))
  expect(await committedOf(0)).toBe(2)
  expect(running.fatal()).toBeNull()
  await running.stop()
})

test('Kafka being away while a partition is opened ends the process, as everywhere', async () => {
  const { kafka } = world
  const offsets: typeof kafka.admin.offsets = (topic) =>
    topic === 'refined.orders.v1'
      ? Promise.reject(new MeshError('MESH_KAFKA_UNAVAILABLE', 'no broker answers'))
      : kafka.admin.offsets(topic)
  const running = await runStream(world, orders, { onStall, kafka: { ...kafka, admin: { ...kafka.admin, offsets } } })
  await eventually(() => expect(running.fatal()).toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' }))
  expect(stalls.size).toBe(0)
  await running.stop()
})

test("a standing partition that leaves is the next owner's to open; nothing of it was committed here", async () => {
  await world.post(RAW, [0, 1, 2, 3].map(posted))
  const { kafka } = world
  const broken: typeof kafka.admin.offsets = async (topic) => {
    const all = await kafka.admin.offsets(topic)
    return topic === 'refined.orders.v1' ? [] : all
  }
  const a = kafka.client('a')
  const standing = await runStream(world, orders, { onStall, kafka: { ...a, admin: { ...a.admin, offsets: broken } } })
  await eventually(() => expect([...stalls.values()]).toMatchObject([{ kind: 'stopped' }, { kind: 'stopped' }]))
  const healthy = await runStream(world, orders, { kafka: kafka.client('b') })
  await eventually(async () => expect((await refinedOf(0)) + (await refinedOf(1))).toBe(2))
  await eventually(() => expect([...stalls.values()].filter((stall) => stall === null)).toHaveLength(1))
  await standing.stop()
  await caughtUp(world, orders, healthy)
  expect((await refinedOf(0)) + (await refinedOf(1))).toBe(4)
  await healthy.stop()
  expect([standing.fatal(), healthy.fatal()]).toEqual([null, null])
})

/** What is fenced by no generation: a transaction's commit. The group does not notice. */
async function commitBehindTheGroup(partition: number, { offset, metadata }: Committed): Promise<void> {
  const hands = await world.kafka.transactional({ transactionalId: 'hands', group: GROUP, topics: [] })
  const progress = { nextOffset: offset, metadata }
  await hands.transact({ writes: [], offset: { topic: RAW, partition, progress } })
  await hands.close()
  await eventually(async () => expect(await committedOf(partition)).toBe(offset))
}

test('books that are put back while their partition stands let it go on within its next try', async () => {
  const books = await loseBooks()
  await world.post(RAW, [4, 6].map(posted))
  const running = await runStream(world, orders, { onStall })
  await eventually(() => expect(JSON.stringify(stalls.get('orders/v1/0'))).toContain('MESH_REFINE_BOOKS_LOST'))
  await commitBehindTheGroup(0, books)
  await eventually(async () => expect(await committedOf(0)).toBe(4))
  await eventually(() => expect(stalls.get('orders/v1/0')).toBeNull())
  await running.stop()
  expect(running.fatal()).toBeNull()
  expect(await refinedOf(0)).toBe(4)
})

test('a partition that stood goes on from what is committed by then, and not from its assignment', async () => {
  const { kafka } = world
  await world.post(RAW, [0, 2].map(posted))
  const first = await runStream(world, orders)
  await caughtUp(world, orders, first)
  const earlier = (await world.committed('orders')).get(0)!
  await world.post(RAW, [4, 6].map(posted))
  await caughtUp(world, orders, first)
  await first.stop()
  const later = (await world.committed('orders')).get(0)!
  await commitBehindTheGroup(0, earlier)
  let broken = true
  const offsets: typeof kafka.admin.offsets = async (topic) =>
    broken && topic === 'refined.orders.v1' ? [] : kafka.admin.offsets(topic)
  const running = await runStream(world, orders, { onStall, kafka: { ...kafka, admin: { ...kafka.admin, offsets } } })
  await eventually(() => expect(stalls.get('orders/v1/0')).toMatchObject({ kind: 'stopped' }))
  await commitBehindTheGroup(0, later)
  // What was committed meanwhile, retention has passed: who reads from the assignment reads what is not there.
  kafka.trim(RAW, 0, later.offset)
  broken = false
  await eventually(() => expect(stalls.get('orders/v1/0')).toBeNull())
  await world.post(RAW, [8].map(posted))
  await eventually(async () => expect(await committedOf(0)).toBe(5))
  await running.stop()
  expect(running.fatal()).toBeNull()
  expect(await refinedOf(0)).toBe(5)
})

test('what retention passes while a partition stands is told, and ends no process', async () => {
  const { kafka } = world
  await world.post(RAW, [0, 1, 2, 3, 4].map(posted))
  let broken = true
  const offsets: typeof kafka.admin.offsets = async (topic) =>
    broken && topic === 'refined.orders.v1'
      ? (await kafka.admin.offsets(topic)).filter(({ partition }) => partition !== 0)
      : kafka.admin.offsets(topic)
  const running = await runStream(world, orders, { onStall, kafka: { ...kafka, admin: { ...kafka.admin, offsets } } })
  await eventually(() => expect(stalls.get('orders/v1/0')).toMatchObject({ kind: 'stopped' }))
  kafka.trim(RAW, 0, 2)
  broken = false
  await eventually(() => expect(JSON.stringify(stalls.get('orders/v1/0'))).toContain('MESH_KAFKA_OFFSET_OUT_OF_RANGE'))
  expect(running.fatal()).toBeNull()
  await running.stop()
})

test('every try to open a partition exactly once fences whoever writes to it by then', async () => {
  const exactly = (c: Contract): Contract => ({
    ...noJoins(c),
    refine: { ...noJoins(c).refine, guarantee: 'exactly-once' },
  })
  orders = await world.apply('orders', { contract: exactly, partitions: 2 })
  await world.post(RAW, [0, 1, 2, 3].map(posted))
  const first = await runStream(world, orders)
  await caughtUp(world, orders, first)
  await first.stop()
  await world.post(RAW, [4, 6, 8].map(posted))
  world.kafka.trim(RAW, 0, 4)
  let opened = 0
  world.kafka.fault(({ kind }) => {
    if (kind === 'init-producer') opened++
    return null
  })
  const running = await runStream(world, orders, { onStall })
  await eventually(() => expect(JSON.stringify(stalls.get('orders/v1/0'))).toContain('MESH_KAFKA_OFFSET_OUT_OF_RANGE'))
  await eventually(() => expect(opened).toBeGreaterThan(3))
  await running.stop()
})
