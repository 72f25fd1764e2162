import { describe, expect, it } from 'vitest'
import { jsonSlices, ndjsonLines, sourceAt } from '../../../src/core/json-slices.ts'
import { textBytes } from '../../../src/core/record.ts'

const texts = (slices: readonly Uint8Array[]): string[] => slices.map((slice) => Buffer.from(slice).toString())

describe('jsonSlices', () => {
  it('keeps the exact bytes of each element', () => {
    const body = ' [ {"a" : 1.0},\n"x]\\",",[1, [2]] , null,-1e+5,{} ]\r\n'
    expect(texts(jsonSlices(textBytes(body)))).toEqual(['{"a" : 1.0}', '"x]\\","', '[1, [2]]', 'null', '-1e+5', '{}'])
  })

  it('takes a single value without the space around it', () => {
    expect(texts(jsonSlices(textBytes('\ufeff  {"a": [1]} \n')))).toEqual(['{"a": [1]}'])
  })

  it('gives views of the body, not copies', () => {
    const body = textBytes('[1,2]')
    expect(jsonSlices(body).every((slice) => slice.buffer === body.buffer)).toBe(true)
  })

  it('finds no event in an empty array', () => {
    expect(jsonSlices(textBytes('[ ]'))).toEqual([])
  })

  it.each([
    '[1,2',
    '[1,2]]',
    '[1 2]',
    '[1,]',
    '[,1]',
    '{"a":1',
    '{"a"}',
    '[{"a":1}{"b":2}]',
    '["\\u12g4"]',
    '[.5]',
    '[1.]',
  ])('rejects %j as a whole', (body) => {
    expect(() => jsonSlices(textBytes(body))).toThrow(expect.objectContaining({ code: 'MESH_EVENT_JSON' }))
    expect(() => JSON.parse(body)).toThrow()
  })

  it('names the place of the error', () => {
    expect(() => jsonSlices(textBytes('[1,\n  x]'))).toThrow('line 2, column 3, byte 6')
  })

  it.each(['', '  \n', '\ufeff'])('says that %j holds no event', (body) => {
    expect(() => jsonSlices(textBytes(body))).toThrow(expect.objectContaining({ code: 'MESH_BODY_EMPTY' }))
  })

  it('refuses bytes that are not UTF-8, and nesting that would overflow the stack', () => {
    expect(() =>
      jsonSlices(Buffer.from(['"', 0xff, '"'].map((c) => (typeof c === 'string' ? c.charCodeAt(0) : c)))),
    ).toThrow(expect.objectContaining({ code: 'MESH_BODY_ENCODING' }))
    expect(() => jsonSlices(textBytes('['.repeat(100_000)))).toThrow('nesting')
  })

  it('accepts and refuses what JSON.parse does, over mutated documents', () => {
    const seed = '{"a":[1,-2.5e3,"\\u00e9\\n",true],"b":{"c":null,"d":"x"}}'
    const alphabet = '{}[]",:\\0-1.eEtn u\n'
    for (let i = 0; i < 3000; i++) {
      const at = (i * 7919) % seed.length
      const cut = i % 3
      const text = seed.slice(0, at) + alphabet[(i * 31) % alphabet.length] + seed.slice(at + cut)
      expect([text, accepts(() => jsonSlices(textBytes(text)))]).toEqual([text, accepts(() => JSON.parse(text))])
    }
  })
})

describe('ndjsonLines', () => {
  it('gives each line by itself: a bad one has its own error and spares its neighbours', () => {
    const lines = ndjsonLines(textBytes('\ufeff{"a":1}\r\n\r\n  {"b": 2.0} \n{"c":\n"é"'))
    expect(lines.map(({ line, bytes }) => [line, bytes && Buffer.from(bytes).toString()])).toEqual([
      [1, '{"a":1}'],
      [3, '{"b": 2.0}'],
      [4, null],
      [5, '"é"'],
    ])
    expect(lines[2]!.error).toMatchObject({ code: 'MESH_EVENT_JSON', place: 'line 4' })
  })

  it('gives a line that is not UTF-8 its own error', () => {
    const body = Buffer.concat([textBytes('1\n'), Buffer.from([0x22, 0xff, 0x22, 0x0a]), textBytes('2')])
    expect(ndjsonLines(body).map((line) => line.error?.code ?? null)).toEqual([null, 'MESH_BODY_ENCODING', null])
  })

  it('refuses two values on one line, and a body without a line', () => {
    expect(ndjsonLines(textBytes('1 2'))[0]!.error).toMatchObject({ code: 'MESH_EVENT_JSON' })
    expect(() => ndjsonLines(textBytes('\n \r\n'))).toThrow(expect.objectContaining({ code: 'MESH_BODY_EMPTY' }))
  })
})

describe('sourceAt', () => {
  it('gives the characters the sender wrote', () => {
    const bytes = textBytes('{"a":{"b":[0, 1.50 ,{"c":12345678901234567890}]},"e\\u0061":1E3}')
    expect(sourceAt(bytes, ['a', 'b', '1'])).toBe('1.50')
    expect(sourceAt(bytes, ['a', 'b', '2', 'c'])).toBe('12345678901234567890')
    expect(sourceAt(bytes, ['ea'])).toBe('1E3')
    expect(sourceAt(bytes, ['a', 'x'])).toBeNull()
    expect(sourceAt(bytes, ['a', 'b', '9'])).toBeNull()
  })

  it('takes the last of two equal names, as JSON.parse does', () => {
    expect(sourceAt(textBytes('{"a":1.0,"a":2.0}'), ['a'])).toBe('2.0')
  })
})

function accepts(action: () => unknown): boolean {
  try {
    action()
    return true
  } catch {
    return false
  }
}
