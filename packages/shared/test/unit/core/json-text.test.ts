import { isUtf8 } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { decodeUtf8, parseJson } from '../../../src/core/json-text.ts'
import { textBytes } from '../../../src/core/record.ts'

describe('parseJson', () => {
  it('keeps integers beyond 2^53 as bigint, wherever they are, and others as numbers', () => {
    expect(parseJson('{"a":9007199254740993,"b":[-12345678901234567890,1],"c":9007199254740991}')).toEqual({
      a: 9007199254740993n,
      b: [-12345678901234567890n, 1],
      c: 9007199254740991,
    })
    expect(parseJson('12345678901234567890')).toBe(12345678901234567890n)
    expect(parseJson('{ "a" :\n 12345678901234567890}')).toEqual({ a: 12345678901234567890n })
  })

  it('finds a long integer at every place of the text', () => {
    for (let pad = 0; pad < 70; pad++) {
      const before = ' '.repeat(pad)
      expect(parseJson(`${before}9007199254740993`), `after ${pad} characters`).toBe(9007199254740993n)
      expect(parseJson(`{"x":"1234567","a":${before}-9007199254740993}`)).toMatchObject({ a: -9007199254740993n })
      expect(parseJson(`[123456789012345,${before}9007199254740993,1]`)).toEqual([
        123456789012345,
        9007199254740993n,
        1,
      ])
    }
  })

  it('leaves long digits in strings and decimals alone', () => {
    expect(parseJson('{"a":"12345678901234567890","b":0.12345678901234567,"c":1234567890123456.5}')).toEqual({
      a: '12345678901234567890',
      b: Number('0.12345678901234567'),
      c: 1234567890123456.5,
    })
  })

  it('reads bytes and text alike, and skips a byte order mark', () => {
    expect(parseJson(textBytes('\ufeff{"é":"😀"}'))).toEqual({ é: '😀' })
    expect(parseJson('\ufeff1')).toBe(1)
    expect(parseJson(Buffer.from('xx{"a":1}xx').subarray(2, 9))).toEqual({ a: 1 })
  })

  it.each([
    ['{"a":', 'line 1, column 6, byte 5'],
    ['', 'line 1, column 1, byte 0'],
    ['abc', 'line 1, column 1, byte 0'],
    ['{"a":1}x', 'line 1, column 8, byte 7'],
    ['{\n  "é": 1,\n  }', 'line 3, column 3, byte 15'],
    ['[1,]', 'line 1, column 4, byte 3'],
    ['[01]', 'line 1, column 3, byte 2'],
    ['"a\nb"', 'line 1, column 3, byte 2'],
    ['"\\x"', 'line 1, column 2, byte 1'],
    ['nul', 'line 1, column 4, byte 3'],
    ['-', 'line 1, column 2, byte 1'],
    ['\ufeff{', 'line 1, column 3, byte 4'],
  ])('names the place of the error in %j and shows nothing of the text', (text, place) => {
    for (const input of [text, textBytes(text)]) {
      const error = thrownBy(() => parseJson(input))
      expect(error).toMatchObject({ code: 'MESH_EVENT_JSON', message: expect.stringContaining(place) })
      expect((error as Error).cause).toBeUndefined()
    }
  })

  it('refuses bytes that are not UTF-8', () => {
    const latin1 = Buffer.from('{"a":"é"}', 'latin1')
    expect(() => parseJson(latin1)).toThrow(expect.objectContaining({ code: 'MESH_BODY_ENCODING' }))
  })

  it('tells what is UTF-8 from what is not, whatever the bytes, and takes a replacement character that was sent', () => {
    expect(parseJson(textBytes('"\ufffd"'))).toBe('\ufffd')
    const parts = [[0x22], [0x61], [0xc3], [0xa9], [0xe2, 0x82], [0xac], [0xed, 0xa0, 0x80], [0xc0, 0xaf], [0xf0, 0x9f]]
    parts.push([0x98, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xef, 0xbf, 0xbd], [0xff], [0xef, 0xbb, 0xbf])
    let [state, refused, taken] = [7, 0, 0]
    for (let n = 0; n < 20_000; n++) {
      const bytes: number[] = []
      for (let i = n % 5; i >= 0; i--) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        bytes.push(...parts[(state >>> 8) % parts.length]!)
      }
      const given = Uint8Array.from(bytes)
      if (isUtf8(given)) {
        taken++
        expect(textBytes(decodeUtf8(given))).toEqual(given)
      } else {
        refused++
        expect(() => decodeUtf8(given), String(bytes)).toThrow(expect.objectContaining({ code: 'MESH_BODY_ENCODING' }))
      }
    }
    expect(Math.min(refused, taken)).toBeGreaterThan(1000)
  })

  it('takes the code and the place of its caller', () => {
    const options = { code: 'MESH_DECODE_JSON', place: 'raw.x.v1/0/7' } as const
    expect(() => parseJson('{', options)).toThrow(expect.objectContaining(options))
    expect(() => parseJson(new Uint8Array([0xff]), options)).toThrow(expect.objectContaining(options))
  })

  it('does not let a name reach the prototype', () => {
    const value = parseJson('{"__proto__":{"a":12345678901234567890}}') as object
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(Object.hasOwn(value, '__proto__')).toBe(true)
  })
})

function thrownBy(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
