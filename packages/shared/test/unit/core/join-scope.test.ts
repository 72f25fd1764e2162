import { describe, expect, it, test } from 'vitest'
import type { Contract, Ingest, JoinRule } from '../../../src/core/contract.ts'
import { joinScope, liesIn, mayLieIn, tableScope } from '../../../src/core/join-scope.ts'
import { partitionOf } from '../../../src/core/partitioner.ts'
import { textBytes } from '../../../src/core/record.ts'

const rule = (changes: Partial<JoinRule> = {}): JoinRule => ({
  stream: 'customers',
  as: 'customer',
  on: '/customer',
  onMissing: 'null',
  ...changes,
})
const EVENTS: Ingest = { kind: 'events', auth: 'none' }
const CDC: Ingest = { kind: 'cdc', source: 'shop', table: 'public.customers' }
const CONNECT: Ingest = { kind: 'connect', source: 'shop', topic: null }
const contract = (name: string, key: readonly string[], ingest: readonly Ingest[] = [EVENTS]): Contract =>
  ({ name, key, ingest }) as Contract
const orders = (...keys: string[]) => contract('orders', keys)
const side = (partitions: number, ...contracts: Contract[]) => ({ partitions, contracts })
const customers = side(6, contract('customers', ['/id']))

describe('the scope of a join', () => {
  it.each([
    ['keyed by the join key', rule(), side(6, orders('/customer')), customers, null],
    ['whatever the other is keyed by', rule(), side(6, orders('/customer')), side(6, contract('customers', [])), null],
    ['another key', rule(), side(6, orders('/id')), customers, 'the key of an event is /id, not /customer'],
    ['keyless', rule(), side(6, orders()), customers, 'the key of an event is its event id, not /customer'],
    [
      'the key is only the first choice',
      rule(),
      side(6, orders('/customer', '/id')),
      customers,
      'the key of an event is the first of /customer, /id, not /customer',
    ],
    ['partition counts', rule(), side(3, orders('/customer')), customers, 'the streams have 3 and 6 partitions'],
    [
      'one of several bundles has another key',
      rule(),
      side(6, orders('/customer'), orders('/id')),
      customers,
      'the key of an event is /id, not /customer',
    ],
    [
      'a captured table',
      rule(),
      side(6, orders('/customer')),
      side(6, contract('customers', ['/id']), contract('customers', [], [CDC])),
      'the keys of customers are made by its connector (cdc)',
    ],
    [
      'a connector of its own',
      rule(),
      side(6, contract('orders', ['/customer'], [CONNECT])),
      customers,
      'the keys of orders are made by its connector (connect)',
    ],
    ['a bundle that cannot be read', rule(), side(6, orders('/customer')), side(6), 'a contract is not known'],
    [
      'asked for',
      rule({ scope: 'global' }),
      side(6, orders('/customer')),
      customers,
      'the contract asks for it (scope: global)',
    ],
  ] as const)('%s', (_name, joined, own, other, reason) => {
    expect(joinScope(joined, own, other)).toEqual(reason === null ? { kind: 'partition' } : { kind: 'global', reason })
  })

  it('is one for all joins of a table', () => {
    const own = side(6, orders('/origin'))
    const rules = [rule({ on: '/origin' }), rule({ on: '/destination', as: 'destination' })]
    expect(tableScope(rules.slice(0, 1), own, customers)).toEqual({ kind: 'partition' })
    expect(tableScope(rules, own, customers)).toMatchObject({ kind: 'global' })
  })
})

test('a key without a slash lies where it hashes; one with a slash only where all that it may begin with do', () => {
  const at = (key: string) => partitionOf(textBytes(key), 4)
  let split = 0
  for (let n = 0; n < 500; n++) {
    const [raw, key] = [`k${n}`, `k${n}/s`]
    expect(liesIn(raw, at(raw), 4)).toBe(true)
    expect(liesIn(raw, (at(raw) + 1) % 4, 4)).toBe(false)
    // A row with a sub key lies with its raw record.
    expect(mayLieIn(key, at(raw), 4)).toBe(true)
    expect(liesIn(key, at(key), 4)).toBe(at(key) === at(raw))
    if (at(key) === at(raw)) continue
    split++
    expect(liesIn(key, at(raw), 4)).toBe(false)
    const elsewhere = [0, 1, 2, 3].find((partition) => partition !== at(raw) && partition !== at(key))!
    expect(mayLieIn(key, elsewhere, 4)).toBe(false)
  }
  expect(split).toBeGreaterThan(200)
})
