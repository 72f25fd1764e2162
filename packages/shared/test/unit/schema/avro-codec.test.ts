import avsc from 'avsc'
import { describe, expect, it } from 'vitest'
import type { FastAvroCodec } from '../../../src/schema/avro-codec.ts'
import { createAvroCodec, framePayload, frameSchemaId } from '../../../src/schema/avro-codec.ts'
import { parseAvsc } from '../../../src/schema/avro-schema.ts'
import { compileWriter, createSink, resetSink } from '../../../src/schema/avro-writer.ts'

const record = (fields: readonly unknown[], name = 'R'): string => JSON.stringify({ type: 'record', name, fields })
const one = (type: unknown): string => record([{ name: 'v', type }])

/** A codec whose registry knows these schemas by position, from id 1. */
function codecOf(...schemas: readonly string[]): FastAvroCodec {
  return createAvroCodec({ schemaById: (id) => Promise.resolve(schemas[id - 1]!) })
}

async function through(type: unknown, value: unknown): Promise<unknown> {
  const schema = one(type)
  const codec = codecOf(schema)
  return (await codec.decode(codec.encode(1, schema, { v: value }))).record['v']
}

const logical = (type: string, logicalType: string, rest: object = {}): object => ({ type, logicalType, ...rest })
const decimal = (precision: number, scale: number): object => logical('bytes', 'decimal', { precision, scale })

describe('the frame', () => {
  it('is a zero byte and the schema id, big-endian, before the payload', () => {
    const framed = codecOf().encode(0x01020304, one('boolean'), { v: true })
    expect([...framed]).toEqual([0, 1, 2, 3, 4, 1])
    expect(frameSchemaId(framed)).toBe(0x01020304)
    expect([...framePayload(framed)]).toEqual([1])
  })

  it.each([[[]], [[0, 0, 0]], [[1, 0, 0, 0, 1, 0]]])('is refused when it is %j', async (bytes) => {
    await expect(codecOf(one('int')).decode(new Uint8Array(bytes))).rejects.toMatchObject({ code: 'MESH_DECODE_AVRO' })
  })
})

describe('the value model', () => {
  it.each([
    ['long', 9_007_199_254_740_991, 9_007_199_254_740_991],
    ['long', -9_007_199_254_740_991, -9_007_199_254_740_991],
    ['long', 9_007_199_254_740_993n, 9_007_199_254_740_993n],
    ['long', -(1n << 63n), -(1n << 63n)],
    ['long', (1n << 63n) - 1n, (1n << 63n) - 1n],
    ['long', 5n, 5],
    ['int', -2_147_483_648, -2_147_483_648],
    ['double', Number.NaN, Number.NaN],
    ['double', -Infinity, -Infinity],
    ['double', 2n ** 60n, 2 ** 60],
    ['float', 1.5, 1.5],
    ['string', 'é😀'.repeat(30), 'é😀'.repeat(30)],
    ['string', '', ''],
    ['bytes', Buffer.from([1, 2]), new Uint8Array([1, 2])],
    [{ type: 'fixed', name: 'F', size: 2 }, new Uint8Array([3, 4]), new Uint8Array([3, 4])],
    [{ type: 'enum', name: 'E', symbols: ['A', 'B'] }, 'B', 'B'],
    [['null', 'string'], null, null],
    [['string', 'null'], 'x', 'x'],
    [{ type: 'array', items: 'int' }, [1, -1], [1, -1]],
    [logical('int', 'date'), '1969-12-31', '1969-12-31'],
    [logical('int', 'time-millis'), '23:59:59.999', '23:59:59.999000'],
    [logical('long', 'time-micros'), '12:30:01.5', '12:30:01.500000'],
    [logical('long', 'timestamp-millis'), '2020-01-01T02:00:00+02:00', '2020-01-01T00:00:00.000Z'],
    [logical('long', 'timestamp-millis'), new Date(5), '1970-01-01T00:00:00.005Z'],
    [logical('long', 'timestamp-micros'), '1969-12-31T23:59:59.123456Z', '1969-12-31T23:59:59.123456Z'],
    [logical('long', 'timestamp-micros'), '2400-01-01T00:00:00.000001Z', '2400-01-01T00:00:00.000001Z'],
    [logical('long', 'timestamp-micros'), '+290000-01-01T00:00:00.000001Z', '+290000-01-01T00:00:00.000001Z'],
    [logical('long', 'timestamp-nanos'), '2020-01-01T00:00:00.123456789Z', '2020-01-01T00:00:00.123456789Z'],
    [logical('long', 'local-timestamp-millis'), '2020-01-01T00:00:00', '2020-01-01T00:00:00.000'],
    [logical('string', 'uuid'), '017F22E2-79B0-7cc3-98c4-dc0c0c07398f', '017F22E2-79B0-7cc3-98c4-dc0c0c07398f'],
    [
      logical('fixed', 'uuid', { name: 'U', size: 16 }),
      '017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
      '017f22e2-79b0-7cc3-98c4-dc0c0c07398f',
    ],
    [decimal(10, 2), '-12.5', '-12.50'],
    [decimal(10, 2), '0.00', '0.00'],
    [decimal(10, 2), '1.500', '1.50'],
    [decimal(10, 2), 7, '7.00'],
    [decimal(38, 0), '-99999999999999999999999999999999999999', '-99999999999999999999999999999999999999'],
    [logical('fixed', 'decimal', { name: 'D', size: 4, precision: 9, scale: 3 }), '-0.001', '-0.001'],
    [logical('string', 'not-a-logical-type'), 'x', 'x'],
  ])('carries %o: %o becomes %o', async (type, value, expected) => {
    expect(await through(type, value)).toEqual(expected)
  })

  it('unwraps unions where the branch is plain from the value', async () => {
    const type = ['null', 'long', 'string', { type: 'array', items: 'int' }]
    for (const value of [null, 1, 2n ** 60n, 'x', [1]]) expect(await through(type, value)).toEqual(value)
  })

  it('wraps unions whose branches look alike, but not null', async () => {
    const type = ['null', 'int', 'double', logical('string', 'uuid')]
    expect(await through(type, { double: 1 })).toEqual({ double: 1 })
    expect(await through(type, { int: 1 })).toEqual({ int: 1 })
    expect(await through(type, null)).toBeNull()
  })

  it('gives maps without a prototype, and equal bytes for equal maps', async () => {
    const schema = one({ type: 'map', values: 'int' })
    const codec = codecOf(schema)
    const framed = codec.encode(1, schema, { v: { b: 1, a: 2, __proto__x: 3 } })
    expect(framed).toEqual(codec.encode(1, schema, { v: { __proto__x: 3, a: 2, b: 1 } }))
    const map = (await codec.decode(framed)).record['v'] as object
    expect(Object.getPrototypeOf(map)).toBeNull()
    expect(Object.keys(map)).toEqual(['__proto__x', 'a', 'b'])
  })

  it('takes a field called as something that every object inherits', async () => {
    const schema = record([
      { name: '__proto__', type: 'int' },
      { name: 'constructor', type: 'int', default: 7 },
    ])
    const codec = codecOf(schema)
    const given = Object.fromEntries([['__proto__', 1]])
    const { record: read } = await codec.decode(codec.encode(1, schema, given))
    expect(Object.entries(read)).toEqual([
      ['__proto__', 1],
      ['constructor', 7],
    ])
  })
})

describe('what cannot be represented', () => {
  it.each([
    ['long', 1.5, 'not an integer'],
    ['long', 2 ** 53, 'beyond 2^53'],
    ['long', 1n << 63n, 'beyond 64 bits'],
    ['long', '1', 'a string is no long'],
    ['int', 2 ** 31, 'not a 32-bit integer'],
    ['int', null, 'null is no int'],
    ['double', (1n << 60n) + 1n, 'does not fit a double'],
    ['float', 1e300, 'beyond float'],
    ['string', '\ud800', 'not valid Unicode'],
    ['string', 1, 'a number is no string'],
    ['boolean', 1, 'no boolean'],
    ['bytes', 'x', 'no Uint8Array'],
    [{ type: 'fixed', name: 'F', size: 2 }, new Uint8Array(3), '3 bytes are not 2'],
    [{ type: 'enum', name: 'E', symbols: ['A'] }, 'B', 'no symbol of E'],
    [['null', 'string'], 5, 'a number is no string'],
    [['null', 'int', 'string'], true, 'not a value of null | int | string'],
    [['null', 'int', 'double'], 5, '{ branch: value }'],
    [logical('int', 'date'), '2019-02-29', 'no date'],
    [logical('int', 'time-millis'), '12:00:00.0001', 'finer than millis'],
    [logical('long', 'time-micros'), '24:00:00', 'no time'],
    [logical('long', 'timestamp-millis'), '2020-01-01T00:00:00.0001Z', 'finer than millis'],
    [logical('long', 'timestamp-micros'), '2020-01-01T00:00:00', 'with offset'],
    [logical('long', 'timestamp-millis'), new Date(Number.NaN), 'invalid'],
    [logical('long', 'timestamp-nanos'), '2300-01-01T00:00:00Z', 'beyond 64 bits'],
    [logical('long', 'local-timestamp-millis'), '2020-01-01T00:00:00Z', 'no offset'],
    [logical('string', 'uuid'), 'x', 'no UUID'],
    [decimal(4, 2), '1.234', 'more than 2 digits after the point'],
    [decimal(4, 2), '123.4', 'more than 4 digits'],
    [decimal(4, 2), 1.1, 'give a decimal as a string'],
    [decimal(4, 2), '1e1', 'no decimal'],
  ])('is refused for %o: %o (%s)', async (type, value, reason) => {
    const act = (): unknown => codecOf().encode(1, one(type), { v: value })
    expect(act).toThrow(expect.objectContaining({ code: 'MESH_REFINE_INVALID' }))
    expect(act).toThrow(reason)
    expect(act).toThrow('field v: ')
  })

  it('is named by its path', () => {
    const inner = { type: 'record', name: 'I', fields: [{ name: 'n', type: { type: 'array', items: 'int' } }] }
    const schema = one({ type: 'map', values: ['null', inner] })
    expect(() => codecOf().encode(1, schema, { v: { k: { n: [1, 'x'] } } })).toThrow(
      'field v.k.n.1: a string is no int',
    )
  })

  it('is an unknown field, and a missing one without a default', () => {
    const schema = record([
      { name: 'a', type: 'int' },
      { name: 'b', type: 'int', default: 4 },
    ])
    const encode = (value: unknown): unknown => codecOf().encode(1, schema, value)
    expect(() => encode({ a: 1, c: 2 })).toThrow('field c: R has no such field')
    expect(() => encode({ a: 1, c: undefined })).toThrow('field c')
    expect(() => encode({ b: 1 })).toThrow('field a: the field is missing')
    expect(encode({ a: 1 })).toEqual(encode({ a: 1, b: 4 }))
    expect(() => encode([])).toThrow('an array is no R')
    expect(() => encode(null)).toThrow('null is no R')
  })

  it('never shows the value', () => {
    const encode = (): unknown => codecOf().encode(1, one('int'), { v: 'secret' })
    expect(encode).toThrow(expect.objectContaining({ message: expect.not.stringContaining('secret') }))
  })

  it('leaves the codec whole for the next record', async () => {
    const schema = one(['null', 'int'])
    const codec = codecOf(schema)
    expect(() => codec.encode(1, schema, { v: 'x' })).toThrow('field v')
    expect((await codec.decode(codec.encode(1, schema, { v: 3 }))).record).toEqual({ v: 3 })
  })
})

describe('the Avro bytes', () => {
  const schema = record([
    { name: 'i', type: 'int' },
    { name: 'l', type: 'long' },
    { name: 'd', type: 'double' },
    { name: 'f', type: 'float' },
    { name: 's', type: 'string' },
    { name: 'b', type: 'boolean' },
    { name: 'u', type: ['null', 'string', 'long'] },
    { name: 'a', type: { type: 'array', items: ['null', 'long'] } },
    { name: 'r', type: ['null', 'R'], default: null },
  ])

  it('are those of avsc, both ways, over random records', async () => {
    const type = avsc.Type.forSchema(JSON.parse(schema) as avsc.Schema)
    const codec = codecOf(schema)
    for (let i = 0; i < 500; i++) {
      const value = type.random() as unknown as Record<string, unknown>
      const framed = codec.encode(1, schema, value)
      expect(Buffer.from(framePayload(framed)).equals(type.toBuffer(value))).toBe(true)
      expect((await codec.decode(framed)).record).toEqual(type.fromBuffer(type.toBuffer(value)))
    }
  })

  it('grow with the record, and the room for a huge one is given back', async () => {
    const text = one('string')
    const codec = codecOf(text)
    const big = 'ü'.repeat(3_000_000)
    expect((await codec.decode(codec.encode(1, text, { v: big }))).record['v']).toBe(big)
    const sink = createSink()
    const room = sink.buf.length
    compileWriter(parseAvsc(text))(sink, { v: big })
    expect(sink.buf.length).toBeGreaterThan(6_000_000)
    resetSink(sink)
    expect([sink.buf.length, sink.pos]).toEqual([room, 0])
  })

  it('cut off or with a rest are an error, at every length', async () => {
    const codec = codecOf(schema)
    const value = { i: 70_000, l: 1n << 60n, d: 1, f: 1, s: 'text', b: true, u: 'u', a: [1, null], r: null }
    const framed = codec.encode(1, schema, value)
    await codec.prepare([1])
    for (let end = 5; end < framed.length; end++) {
      expect(() => codec.decodeSync(framed.subarray(0, end))).toThrow(
        expect.objectContaining({ code: 'MESH_DECODE_AVRO' }),
      )
    }
    expect(() => codec.decodeSync(Buffer.concat([framed, Buffer.from([0])]))).toThrow('left over')
  })
})

describe('decoding', () => {
  it('asks the registry once per schema, and at once answers from then on', async () => {
    const schema = one('int')
    let asked = 0
    const codec = createAvroCodec({
      schemaById: () => {
        asked++
        return Promise.resolve(schema)
      },
    })
    const framed = codec.encode(1, schema, { v: 1 })
    expect(codec.decodeSync(framed)).toBeNull()
    await codec.decode(framed)
    await codec.decode(framed, schema)
    expect(codec.decodeSync(framed)?.record).toEqual({ v: 1 })
    expect(asked).toBe(1)
  })
})
