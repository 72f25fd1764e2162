import { describe, expect, it } from 'vitest'
import { at, isPointer, pointerTokens } from '../../../src/core/json-pointer.ts'

describe('at', () => {
  const event = { a: { 'b/c': [{ 'd~e': 1 }, null], '': 2 }, n: null }

  it.each([
    ['', event],
    ['/a/b~1c/0/d~0e', 1],
    ['/a/b~1c/1', null],
    ['/a/', 2],
    ['/n', null],
    ['/x', undefined],
    ['/n/x', undefined],
    ['/a/b~1c/-', undefined],
    ['/a/b~1c/00', undefined],
    ['/a/b~1c/length', undefined],
    ['/constructor', undefined],
  ])('reads %s', (pointer, value) => {
    expect(at(event, pointer)).toEqual(value)
  })
})

describe('pointers', () => {
  it('are checked for form', () => {
    expect(['', '/', '/a', '/a~0b/~1'].every(isPointer)).toBe(true)
    expect(['a', '/a~', '/a~2', '#/a'].some(isPointer)).toBe(false)
  })

  it('unescape ~1 before ~0', () => {
    expect(pointerTokens('/~01')).toEqual(['~1'])
  })
})
