import { describe, expect, test } from 'vitest'
import { textAt } from '../../../src/core/event-identity.ts'
import { integerSource } from '../../../src/core/json-integer.ts'
import { at } from '../../../src/core/json-pointer.ts'
import { sourceAt } from '../../../src/core/json-slices.ts'
import { parseJson } from '../../../src/core/json-text.ts'
import { textBytes } from '../../../src/core/record.ts'

const found = (text: string, ...tokens: string[]): string | null =>
  integerSource(textBytes(text), tokens, at(parseJson(text), tokens) as number | bigint)

describe('integerSource', () => {
  test.each([
    ['{"id":5}', ['id'], '5'],
    ['{ "x" : "ids", "a" : { "id" \t:\r\n -17 } }', ['a', 'id'], '-17'],
    ['\ufeff{"größe":1,"id":0}', ['id'], '0'],
    ['[{"id":12}]', ['0', 'id'], '12'],
    ['{"note":"say \\"id\\": 7\\n","id":9007199254740993}', ['id'], '9007199254740993'],
  ])('finds the characters in %s', (text, tokens, expected) => {
    expect(found(text, ...tokens)).toBe(expected)
  })

  test.each([
    ['a fraction', '{"id":5.0}', ['id']],
    ['an exponent', '{"id":5e0}', ['id']],
    ['another exponent', '{"id":50E-1}', ['id']],
    ['minus zero', '{"id":-0}', ['id']],
    ['a name that comes twice, the last of which wins', '{"id":5,"id":5.0}', ['id']],
    ['a name that is written otherwise, beside one of another object', '{"a":{"id":5},"\\u0069d":5.0}', ['id']],
    ['a text that ends in the name', '{"x":"\\"id","id":5.0}', ['id']],
    ['a longer name that ends alike', '{"xid":7,"id":5.0}', ['id']],
    ['an index', '{"a":[5.0],"0":5}', ['a', '0']],
    ['the root', '5.0', []],
    ['a fraction that is no integer', '{"id":5.5}', ['id']],
  ])('leaves %s to whoever reads the whole text', (_name, text, tokens) => {
    expect(found(text, ...tokens)).toBeNull()
    expect(textAt(parseJson(text), `/${tokens.join('/')}`.replace(/\/$/, ''), textBytes(text))).toBe(
      sourceAt(textBytes(text), tokens),
    )
  })

  test('says what reading the whole text says, or nothing, over documents of all shapes', () => {
    let said = 0
    for (let seed = 1; seed <= 4000; seed++) {
      const text = documentOf(seed)
      const event = parseJson(text)
      for (const tokens of [['id'], ['a', 'id'], ['a', 'b', 'id'], ['id', 'id']]) {
        const value = at(event, tokens)
        if (typeof value !== 'number' && typeof value !== 'bigint') continue
        const bytes = textBytes(text)
        const own = integerSource(bytes, tokens, value)
        if (own === null) continue
        said++
        expect(own, `${text} at ${tokens.join()}`).toBe(sourceAt(bytes, tokens))
        expect(integerSource(text, tokens, value), 'from the text itself').toBe(own)
      }
    }
    expect(said).toBeGreaterThan(100)
  })
})

/** An object of few names, written in many ways, with numbers of few values. */
function documentOf(seed: number): string {
  let state = seed * 2_654_435_761
  const pick = <T>(choices: readonly T[]): T => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 3_266_489_917) >>> 0
    return choices[(state >>> 8) % choices.length]!
  }
  const space = (): string => pick(['', '', ' ', '\n\t'])
  const name = (): string => pick(['"id"', '"id"', '"a"', '"b"', '"\\u0069d"', '"i\\u0064"', '"x"'])
  const scalar = (): string =>
    pick(['5', '5', '5.0', '5e0', '-0', '0', '12345678901234567890', '"id"', '"\\"id"', '"\\"id\\":5"', 'null'])
  function object(depth: number): string {
    const members = Array.from({ length: pick([1, 2, 3]) }, () => {
      const value = depth < 3 && pick([true, false, false]) ? object(depth + 1) : scalar()
      return `${space()}${name()}${space()}:${space()}${value}${space()}`
    })
    return `{${members.join(',')}}`
  }
  return object(0)
}
