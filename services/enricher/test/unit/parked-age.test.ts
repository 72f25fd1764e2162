import { headerText } from '@mesh/shared/core/record'
import { stillParkedIn } from '@mesh/shared/core/still-parked'
import type { MemoryClient } from '@mesh/shared/testing/memory-kafka'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Running, runStream } from '../process.ts'
import { createWorld, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
const STATE = 'mesh.state.orders.v1'
const WAIT_MS = 30_000
const BEGIN = Date.UTC(2026, 0, 1)
let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.close())
const eventually = (check: () => Promise<void>): Promise<void> => vi.waitFor(check, { timeout: 50_000, interval: 10 })

test.each(['at-least-once', 'exactly-once'] as const)(
  'how long a parked record may wait is counted from its parking, whatever kills the process meanwhile, %s',
  async (guarantee) => {
    await world.apply('customers')
    const orders = await world.apply('orders', {
      contract: (c) => ({
        ...c,
        refine: {
          ...c.refine,
          guarantee,
          joins: c.refine.joins.map((join) => ({ ...join, onMissing: { waitMs: WAIT_MS, giveUp: 'dead-letter' } })),
        },
      }),
    })
    let now = BEGIN
    const launch = async (name: string): Promise<{ client: MemoryClient; running: Running }> => {
      const client = world.kafka.client(name)
      const options = { kafka: client, joined: new Map([['customers', 1]]), epochMs: () => now }
      return { client, running: await runStream(world, orders, options) }
    }
    const order = (n: number, key: string) => ({ key, id: `o${n}`, value: { n, customer: 'nobody' } })
    const waits = async (count: number): Promise<void> =>
      eventually(async () => {
        const committed = (await world.committed('orders')).get(0)
        expect(committed && stillParkedIn(committed.metadata)).toMatchObject({ records: count })
      })

    let life = await launch('life 1')
    await world.post(RAW, [order(1, 'a')])
    await waits(1)
    for (const n of [2, 3]) {
      life.client.kill()
      // Each life is shorter than the wait, and all of them together are not.
      now += WAIT_MS / 3
      life = await launch(`life ${n}`)
      await world.post(RAW, [order(n, `other ${n}`)])
      await waits(n)
      expect(await world.deadLettersOf('orders')).toEqual([])
    }
    now = BEGIN + WAIT_MS
    await eventually(async () => expect(await world.deadLettersOf('orders')).toHaveLength(1))
    await waits(2)
    const [letter] = await world.deadLettersOf('orders')
    expect(headerText(letter!.record.headers, 'mesh-src')).toContain(';0;0;0')
    const parkedAt = (await world.read(STATE)).filter(({ record }) => record.value !== null)
    expect(parkedAt.map(({ record }) => record.timestamp - BEGIN)).toEqual([0, WAIT_MS / 3, (2 * WAIT_MS) / 3])
    await life.running.stop()
  },
)
