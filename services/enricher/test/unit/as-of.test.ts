import type { Contract, JoinRule } from '@mesh/shared/core/contract'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { srcOf } from '../orders.ts'
import { runToEnd } from '../process.ts'
import { candidateOf, emitReplay, rawEnd } from '../replay.ts'
import { createWorld, type World } from '../world.ts'

const HOUR = 3_600_000
const START = Date.UTC(2026, 0, 1)
let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.close())

const joining = (asOf: Pick<JoinRule, 'asOf'>) => ({
  contract: (c: Contract): Contract => ({
    ...c,
    refine: { ...c.refine, joins: c.refine.joins.map((rule) => ({ ...rule, ...asOf })) },
  }),
})

const values = async (version: number) =>
  (await world.refinedOf('orders', version)).map(({ record }) => ({
    src: srcOf(record),
    value: Buffer.from(record.value!).toString('hex'),
    joins: Buffer.from(record.headers.find((h) => h.name === 'mesh-joins')!.value!).toString(),
  }))

/** Orders at hours 1, 2, 3; customer c1 is named at 0 and renamed at hour 2.5; after the first run it is renamed and deleted. */
async function twoRuns(asOf: Pick<JoinRule, 'asOf'>) {
  const customers = await world.apply('customers')
  const orders = await world.apply('orders', joining(asOf))
  const customer = (hours: number, name: string | null) => ({
    key: 'c1',
    id: `c1-${hours}`,
    value: name === null ? null : { id: 'c1', name },
    timestamp: START + hours * HOUR,
  })
  const raw = 'raw.customers.v1'
  await world.post(raw, [customer(0, 'Ada'), customer(2.5, 'Eve')])
  await runToEnd(world, customers)
  const order = (hours: number) => ({
    id: `o${hours}`,
    value: { n: hours, customer: 'c1' },
    timestamp: START + hours * HOUR,
  })
  await world.post('raw.orders.v1', [order(1), order(2), order(3)])
  const joined = new Map([['customers', 1]])
  await runToEnd(world, orders, { joined })
  const before = await values(1)

  await world.post(raw, [customer(4, 'Mallory'), customer(5, null)])
  await runToEnd(world, customers)
  const changeover = [await rawEnd(world, 'orders')]
  await candidateOf(world, orders, { ends: null, changeover })
  const ends = await emitReplay(world, 'orders', await world.rawOf('orders'), orders)
  await runToEnd(world, await candidateOf(world, orders, { ends, changeover }), { version: 2, joined })
  return { before, after: await values(2) }
}

describe('a replay after the joined table has changed', () => {
  test('joined as of event time it gives the same bytes, from the same rows', async () => {
    const { before, after } = await twoRuns({ asOf: { historyMs: 30 * 24 * HOUR } })
    expect(after).toEqual(before)
    expect(before.map(({ joins }) => joins.split(';')[3])).toEqual(['0', '0', '1'])
    const names = await Promise.all(
      (await world.refinedOf('orders', 2)).map(async ({ record }) => (await world.codec.decode(record.value!)).record),
    )
    expect(names.map((record) => record['customer'])).toEqual(['Ada', 'Ada', 'Eve'])
  })

  test('joined with the latest rows it gives others, which is what as-of is for', async () => {
    const { before, after } = await twoRuns({})
    expect(after.map(({ value }) => value)).not.toEqual(before.map(({ value }) => value))
    expect(after.map(({ joins }) => joins)).toEqual(['customer=', 'customer=', 'customer='])
  })
})
