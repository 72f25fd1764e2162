import type { JoinRule } from '@mesh/shared/core/contract'
import { textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { giveUp, joinKey, joinRows } from '../../../src/core/joins.ts'

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
    expect(joined).toEqual({
      rows: { a: { name: 'Austin' }, b: null },
      header: 'a=main;t;0;1;0,b=',
      problem: null,
      transient: null,
    })
  })

  test('the first missing row that is asked for is the problem', () => {
    const joined = joinRows([rule('a', 'null'), rule('b', 'dead-letter'), rule('c', 'dead-letter')], [null, null, null])
    expect(joined.problem).toMatchObject({ code: 'MESH_JOIN_MISSING', stage: 'join' })
    expect(joined.problem?.message).toContain('/b')
  })

  const waits = (waitMs: number, then: 'null' | 'dead-letter') => ({ waitMs, giveUp: then })

  test('a missing row that is waited for is transient, and says what ends the wait', () => {
    const joined = joinRows([rule('a', waits(30_000, 'dead-letter'))], [null], ['x'])
    expect(joined.problem).toBeNull()
    expect(joined.transient).toMatchObject({
      code: 'MESH_JOIN_MISSING',
      deadlineMs: 30_000,
      giveUp: 'dead-letter',
      awaits: ['cities/x'],
    })
    expect(giveUp(joined).problem).toMatchObject({ code: 'MESH_JOIN_MISSING', stage: 'join' })
  })

  test('of several waits the first that ends in a dead letter ends all; without one the last decides', () => {
    const both = [
      rule('a', waits(10, 'null')),
      rule('b', waits(50, 'dead-letter')),
      rule('c', waits(20, 'dead-letter')),
    ]
    expect(joinRows(both, [null, null, null], ['x', 'y', 'z']).transient).toMatchObject({
      deadlineMs: 20,
      giveUp: 'dead-letter',
      awaits: ['cities/x', 'cities/y', 'cities/z'],
    })
    const nulls = [rule('a', waits(10, 'null')), rule('b', waits(5, 'null'))]
    const joined = joinRows(nulls, [null, null], ['x', 'y'])
    expect(joined.transient).toMatchObject({ deadlineMs: 10, giveUp: 'null' })
    expect(giveUp(joined)).toMatchObject({ rows: { a: null, b: null }, problem: null, transient: null })
  })

  test('a row whose key the event lacks cannot arrive, and a dead letter asked for at once does not wait', () => {
    expect(joinRows([rule('a', waits(10, 'dead-letter'))], [null], [null])).toMatchObject({
      problem: { code: 'MESH_JOIN_MISSING' },
      transient: null,
    })
    const joined = joinRows([rule('a', waits(10, 'null')), rule('b', 'dead-letter')], [null, null], ['x', 'y'])
    expect(joined.problem).toMatchObject({ code: 'MESH_JOIN_MISSING' })
  })
})
