import type { JoinRule } from '@mesh/shared/core/contract'
import { textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { joinKey, joinRows } from '../../../src/core/joins.ts'

const rule = (as: string, onMissing: JoinRule['onMissing']): JoinRule => ({
  stream: 'cities',
  as,
  on: `/${as}`,
  onMissing,
})

describe('joins', () => {
  test.each([
    ['{"a":"x"}', 'x'],
    ['{"a":1.0}', '1.0'],
    ['{"a":null}', null],
    ['{}', null],
    ['{"a":{}}', null],
  ])('the key of %s is %j', (text, key) => {
    expect(joinKey(rule('a', 'null'), JSON.parse(text), textBytes(text))).toBe(key)
  })

  test('rows go by name, and the header names the rows used', () => {
    const row = { record: { name: 'Austin' }, src: 'main;t;0;1;0' }
    const joined = joinRows([rule('a', 'null'), rule('b', 'null')], [row, null])
    expect(joined).toEqual({ rows: { a: { name: 'Austin' }, b: null }, header: 'a=main;t;0;1;0,b=', problem: null })
  })

  test('the first missing row that is asked for is the problem', () => {
    const joined = joinRows([rule('a', 'null'), rule('b', 'dead-letter'), rule('c', 'dead-letter')], [null, null, null])
    expect(joined.problem).toMatchObject({ code: 'MESH_JOIN_MISSING', stage: 'join' })
    expect(joined.problem?.message).toContain('/b')
  })
})
