import { describe, expect, test } from 'vitest'
import { createBreaker, DEFAULT_BREAKER } from '../../../src/core/breaker.ts'

describe('the circuit breaker', () => {
  test('says nothing below 200 decided records, then trips above its share of one code', () => {
    const breaker = createBreaker()
    for (let n = 0; n < 199; n++) expect(breaker.note('BAD', DEFAULT_BREAKER)).toBeNull()
    expect(breaker.note('BAD', DEFAULT_BREAKER)).toEqual({ code: 'BAD', share: 1, decided: 200 })
  })

  test('does not add codes up', () => {
    const breaker = createBreaker()
    for (let n = 0; n < 1000; n++) expect(breaker.note(`CODE_${n % 3}`, DEFAULT_BREAKER)).toBeNull()
  })

  test('looks at the last records only', () => {
    const breaker = createBreaker()
    const rule = { share: 0.5, window: 300 }
    for (let n = 0; n < 5000; n++) breaker.note(null, rule)
    breaker.keep()
    const trips = Array.from({ length: 300 }, () => breaker.note('BAD', rule))
    expect(trips.findIndex((trip) => trip !== null)).toBe(150)
  })

  test('what is not written did not happen', () => {
    const breaker = createBreaker()
    const rule = { share: 0.5, window: 400 }
    for (let n = 0; n < 400; n++) breaker.note(n % 2 === 1 ? 'BAD' : null, rule)
    breaker.keep()
    expect(breaker.note('BAD', rule)).toEqual({ code: 'BAD', share: 201 / 400, decided: 400 })
    for (let n = 0; n < 500; n++) breaker.note(null, rule)
    breaker.undo()
    expect(breaker.note('BAD', rule)).toEqual({ code: 'BAD', share: 201 / 400, decided: 400 })
  })

  test('a share of 1 is off', () => {
    const breaker = createBreaker()
    for (let n = 0; n < 1000; n++) expect(breaker.note('BAD', { share: 1, window: 1000 })).toBeNull()
  })
})
