import { expect, test } from 'vitest'
import { tableChanges } from '../../../src/core/schema-growth.ts'

const column = (name: string, type: string) => ({ name, type })

test('a new field adds a column; one that left stays', () => {
  expect(
    tableChanges('T', [column('a', 'BIGINT'), column('gone', 'DATE')], [column('a', 'BIGINT'), column('b', 'DATE')]),
  ).toEqual([{ kind: 'add', column: column('b', 'DATE') }])
})

test.each([
  ['INTEGER', 'BIGINT'],
  ['FLOAT', 'DOUBLE'],
  ['DECIMAL(10,2)', 'DECIMAL(12,4)'],
  ['UUID', 'VARCHAR'],
])('%s widens to %s', (from, to) => {
  expect(tableChanges('T', [column('a', from)], [column('A', to)])).toEqual([
    { kind: 'widen', column: column('A', to) },
  ])
})

test.each([
  ['BIGINT', 'DOUBLE'],
  ['BIGINT', 'INTEGER'],
  ['VARCHAR', 'JSON'],
  ['DECIMAL(10,2)', 'DECIMAL(11,4)'],
])('%s to %s is refused: a value could be lost', (from, to) => {
  expect(() => tableChanges('T', [column('a', from)], [column('a', to)])).toThrow(
    expect.objectContaining({ code: 'MESH_WAREHOUSE_SCHEMA' }),
  )
})
