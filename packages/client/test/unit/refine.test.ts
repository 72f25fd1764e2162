import { describe, expect, it } from 'vitest'
import { deadLetter, drop, ok, tombstone } from '../../src/refine.ts'

describe('outcomes', () => {
  it('ok takes one record', () => {
    expect(ok({ a: 1 })).toEqual({ kind: 'ok', outputs: [{ record: { a: 1 } }] })
  })

  it('ok takes none to many, with sub keys', () => {
    expect(ok([])).toEqual({ kind: 'ok', outputs: [] })
    const outputs = [{ record: { a: 1 }, subKey: '1' }, { record: { a: 2 } }]
    expect(ok(outputs)).toEqual({ kind: 'ok', outputs })
  })

  it('tombstone deletes the key, or one sub key', () => {
    expect(tombstone()).toEqual({ kind: 'tombstone', subKey: null })
    expect(tombstone({ subKey: 'x' })).toEqual({ kind: 'tombstone', subKey: 'x' })
  })

  it('drop and deadLetter say why', () => {
    expect(drop('test order')).toEqual({ kind: 'drop', reason: 'test order' })
    expect(deadLetter('ORDER_DATE', 'no date')).toEqual({ kind: 'deadLetter', code: 'ORDER_DATE', reason: 'no date' })
  })
})
