import { textBytes } from '@mesh/shared/core/record'
import { describe, expect, test } from 'vitest'
import { NO_JOINS } from '../../../src/core/joins.ts'
import { lookupUrl, withLookups } from '../../../src/core/lookups.ts'
import { lookupRule } from '../../lookup-server.ts'

const urlOf = (text: string, template = 'https://crm.example/c/{/id}?of={/shop/name}'): string | null =>
  lookupUrl({ ...lookupRule(''), url: template }, JSON.parse(text), textBytes(text))

describe('the address of a lookup', () => {
  test.each([
    ['{"id":"a","shop":{"name":"x"}}', 'https://crm.example/c/a?of=x'],
    ['{"id":12345678901234567890,"shop":{"name":1.0}}', 'https://crm.example/c/12345678901234567890?of=1.0'],
    ['{"id":"a/../b?#","shop":{"name":"&x=1"}}', 'https://crm.example/c/a%2F..%2Fb%3F%23?of=%26x%3D1'],
    ['{"id":"..","shop":{"name":"x"}}', null],
    ['{"id":"","shop":{"name":"x"}}', null],
    ['{"id":null,"shop":{"name":"x"}}', null],
    ['{"id":{},"shop":{"name":"x"}}', null],
    ['{"id":"a"}', null],
  ])('of %s is %j', (text, url) => {
    expect(urlOf(text)).toBe(url)
  })
})

describe('lookups', () => {
  const rule = lookupRule('')
  const found = { kind: 'found', value: { name: 'Ada' }, version: 'etag:1@t' } as const

  test('answers join like rows, and the header names their versions', () => {
    const joined = withLookups(
      { ...NO_JOINS, header: 'a=main;t;0;1;0' },
      [rule, { ...rule, as: 'other' }],
      [found, null],
    )
    expect(joined).toEqual({
      rows: { customer: { name: 'Ada' }, other: null },
      header: 'a=main;t;0;1;0,customer=etag:1@t,other=',
      problem: null,
      transient: null,
    })
  })

  test('what is missing is null or a dead letter, what is refused a dead letter, what may pass a wait', () => {
    const dead = { ...rule, onMissing: 'dead-letter' } as const
    const missing = { kind: 'missing', version: '404@t' } as const
    expect(withLookups(NO_JOINS, [rule], [missing])).toMatchObject({ problem: null, header: 'customer=404@t' })
    expect(withLookups(NO_JOINS, [dead], [missing]).problem).toMatchObject({ code: 'MESH_JOIN_MISSING' })
    expect(withLookups(NO_JOINS, [dead], [null]).problem).toMatchObject({ code: 'MESH_JOIN_MISSING' })
    const refused = { kind: 'refused', code: 'MESH_LOOKUP_REFUSED', message: 'the answer is 400' } as const
    expect(withLookups(NO_JOINS, [rule], [refused]).problem).toMatchObject({ code: 'MESH_LOOKUP_REFUSED' })
    const failed = { kind: 'transient', code: 'MESH_LOOKUP_FAILED', message: 'the answer is 503' } as const
    const longer = { ...rule, as: 'longer', retryMs: 90_000 }
    expect(withLookups(NO_JOINS, [longer, rule], [failed, failed])).toMatchObject({
      problem: null,
      transient: { deadlineMs: 60_000, giveUp: 'dead-letter', message: 'customer: the answer is 503', awaits: [] },
    })
  })
})
