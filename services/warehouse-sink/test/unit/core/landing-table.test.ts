import { expect, test } from 'vitest'
import { landingTable } from '../../../src/core/landing-table.ts'

test('a version has a table of its own', () => {
  expect(landingTable('shop-orders', 2, 'SHOP_ORDERS', []).table).toBe('SHOP_ORDERS__V2')
})

test.each([
  ['a', 'A'],
  ['_key', '_KEY'],
  ['x', '_offset'],
])('columns %s and %s that SQL cannot tell apart are refused', (a, b) => {
  const columns = [a, b].map((name) => ({ name, type: { kind: 'string' as const }, nullable: true }))
  expect(() => landingTable('s', 1, 'S', columns)).toThrow(expect.objectContaining({ code: 'MESH_WAREHOUSE_SCHEMA' }))
})
