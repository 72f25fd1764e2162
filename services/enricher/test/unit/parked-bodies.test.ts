import { stillParkedIn } from '@mesh/shared/core/still-parked'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createBodyCache } from '../../src/core/body-cache.ts'
import type { Stall } from '../../src/core/stall.ts'
import { type Running, runStream } from '../process.ts'
import { createWorld, type Posted, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
const EACH = 5
let world: World
let orders: StreamVersions
beforeEach(async () => {
  world = await createWorld()
  await world.apply('customers')
  orders = await world.apply('orders', {
    partitions: 2,
    contract: (c) => ({
      ...c,
      refine: {
        ...c.refine,
        joins: c.refine.joins.map((join) => ({ ...join, onMissing: { waitMs: 3_600_000, giveUp: 'dead-letter' } })),
      },
    }),
  })
})
afterEach(() => world.close())

const eventually = (check: () => void | Promise<void>): Promise<void> =>
  vi.waitFor(check, { timeout: 50_000, interval: 10 })
/** They wait: the customer never comes. */
const orderOf = (n: number): Posted => ({
  partition: n % 2,
  key: `k${n}`,
  id: `o${n}`,
  value: { n, customer: 'nobody' },
})
async function waiting(count: number): Promise<void> {
  await eventually(async () => {
    const books = [...(await world.committed('orders')).values()].map(({ metadata }) => stillParkedIn(metadata))
    expect(books.map(({ records }) => records)).toEqual([count, count])
  })
}

test('what is held of parked records goes with their partition: to another process, and when the runner stops', async () => {
  const bodies = createBodyCache(10_000_000)
  const launch = (name: string, own = createBodyCache(0)): Promise<Running> =>
    runStream(world, orders, { kafka: world.kafka.client(name), joined: new Map([['customers', 1]]), bodies: own })
  const first = await launch('first', bodies)
  await world.post(
    RAW,
    Array.from({ length: EACH * 2 }, (_, n) => orderOf(n)),
  )
  await waiting(EACH)
  const both = bodies.bytes()
  expect(both).toBeGreaterThan(0)

  // It gets one of the two partitions. The other one is opened again, and what is parked there is read when it is tried.
  const second = await launch('second')
  await eventually(() => expect(bodies.bytes()).toBeLessThanOrEqual(both / 2))
  await world.post(
    RAW,
    Array.from({ length: EACH * 2 }, (_, n) => orderOf(n + EACH * 2)),
  )
  await waiting(EACH * 2)
  expect(bodies.bytes()).toBeGreaterThan(0)
  expect(bodies.bytes()).toBeLessThanOrEqual(both)

  await first.stop()
  expect(bodies.bytes()).toBe(0)
  await second.stop()
  expect([first.fatal(), second.fatal()]).toEqual([null, null])
})

test('what was parked in a step that the breaker takes back is not held', async () => {
  const bodies = createBodyCache(10_000_000)
  const stalls: (Stall | null)[] = []
  const bad = Array.from({ length: 400 }, (_, n): Posted => ({ id: `bad${n}`, value: Buffer.from('not json') }))
  await world.post(RAW, [orderOf(0), ...bad])
  const running = await runStream(world, orders, {
    joined: new Map([['customers', 1]]),
    bodies,
    onStall: (_, stall) => stalls.push(stall),
  })
  await eventually(() => expect(stalls).toMatchObject([{ kind: 'breaker' }]))
  await eventually(() => expect(bodies.bytes()).toBe(0))
  await running.stop()
  expect(running.fatal()).toBeNull()
})
