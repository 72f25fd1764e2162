import { expect, it } from 'vitest'
import { produceVerdict, sequenceAfter } from '../../../src/kafka/produce-verdict.ts'

it('takes a code that it does not know for a refusal that repetition does not change', () => {
  expect(produceVerdict(29)).toBe('failed')
  expect(produceVerdict(999)).toBe('failed')
})

it.each([-1, 7, 13, 20, 56])('does not take code %i for proof that nothing was written', (code) => {
  expect(produceVerdict(code)).toBe('uncertain')
})

it('counts sequence numbers up to 2^31 - 1 and begins again at 0', () => {
  expect(sequenceAfter(2 ** 31 - 3, 2)).toBe(2 ** 31 - 1)
  expect(sequenceAfter(2 ** 31 - 1, 1)).toBe(0)
  expect(sequenceAfter(2 ** 31 - 2, 5)).toBe(3)
})
