import type { Contract } from '@mesh/shared/core/contract'
import { headerText } from '@mesh/shared/core/record'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createHttpLookups, type HttpLookups } from '../../src/adapters/http-lookups.ts'
import { createMemoryBudget } from '../../src/core/memory-budget.ts'
import { inGroupsOf, json, type LookupServer, lookupRule, startLookupServer } from '../lookup-server.ts'
import { caughtUp, runStream } from '../process.ts'
import { createWorld, type World } from '../world.ts'

let world: World
let server: LookupServer
let lookups: HttpLookups
beforeEach(async () => {
  world = await createWorld()
  server = await startLookupServer()
  lookups = createHttpLookups({ budget: createMemoryBudget(1e6), readSecret: async () => null, now: Date.now })
})
afterEach(async () => {
  await lookups.close()
  await server.close()
  await world.close()
})

const looking = {
  contract: (c: Contract): Contract => ({
    ...c,
    refine: { ...c.refine, joins: [], lookups: [lookupRule(server.url)] },
  }),
}
const order = (n: number, customer: string) => ({ id: `o${n}`, key: `k${n}`, value: { n, customer } })
const refined = async () =>
  Promise.all(
    (await world.refinedOf('orders')).map(
      async ({ record }): Promise<Record<string, unknown>> => ({
        ...(await world.codec.decode(record.value!)).record,
        joins: headerText(record.headers, 'mesh-joins')!,
      }),
    ),
  )

test('records join HTTP answers, asked for side by side and once per address; a missing one is null', {
  timeout: 120_000,
}, async () => {
  const state = await world.apply('orders', looking)
  server.answer = inGroupsOf(3, (path, _request, response) => {
    if (!path.endsWith('/gone')) return json(response, { name: `name of ${path.slice(11)}` }, { etag: path.slice(11) })
    response.writeHead(404)
    response.end()
  })
  const customers = ['a', 'b', 'c', 'd', 'gone', 'e']
  await world.post(
    'raw.orders.v1',
    Array.from({ length: 60 }, (_, n) => order(n, customers[n % 6]!)),
  )
  const running = await runStream(world, state, { look: lookups.look })
  await caughtUp(world, state, running)
  await running.stop()
  const rows = await refined()
  expect(rows).toHaveLength(60)
  expect(rows.slice(0, 6)).toMatchObject([
    { n: 0, customer: 'name of a', joins: expect.stringMatching(/^customer=etag:a@20/) as string },
    { customer: 'name of b' },
    { customer: 'name of c' },
    { customer: 'name of d' },
    { customer: null, joins: expect.stringMatching(/^customer=404@/) as string },
    { n: 5, customer: 'name of e' },
  ])
  expect(server.asked.toSorted()).toEqual(customers.map((name) => `/customers/${name}`).toSorted())
  expect(server.most()).toBe(3)
})

test('while the other side is down keys are parked, and flow once it is up', { timeout: 120_000 }, async () => {
  const state = await world.apply('orders', looking)
  server.answer = (_path, _request, response) => {
    response.writeHead(503)
    response.end()
  }
  await world.post('raw.orders.v1', [order(1, 'a'), order(2, 'b')])
  const running = await runStream(world, state, { look: lookups.look })
  await caughtUp(world, state, running)
  expect(await refined()).toEqual([])
  server.answer = (path, _request, response) => json(response, { name: path })
  await expect
    .poll(async () => (await refined()).map((row) => row['customer']).toSorted())
    .toEqual(['/customers/a', '/customers/b'])
  await running.stop()
})
