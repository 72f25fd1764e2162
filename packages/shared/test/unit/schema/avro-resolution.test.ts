import { describe, expect, it } from 'vitest'
import { createAvroCodec } from '../../../src/schema/avro-codec.ts'
import { incompatibilities } from '../../../src/schema/compatibility.ts'

const record = (fields: readonly unknown[], rest: object = {}): string =>
  JSON.stringify({ type: 'record', name: 'R', fields, ...rest })
const one = (type: unknown): string => record([{ name: 'v', type }])
const enumOf = (symbols: readonly string[], rest: object = {}): object => ({
  type: 'enum',
  name: 'E',
  symbols,
  ...rest,
})
const decimal = (precision: number, scale: number): object => ({
  type: 'bytes',
  logicalType: 'decimal',
  precision,
  scale,
})
const stamp = (unit: string): object => ({ type: 'long', logicalType: `timestamp-${unit}` })

/** Writes a record with one schema and reads it with another. */
async function reread(written: string, next: string, value: unknown): Promise<unknown> {
  const codec = createAvroCodec({ schemaById: () => Promise.resolve(written) })
  return (await codec.decode(codec.encode(1, written, value), next)).record
}

describe('schema resolution', () => {
  it.each([
    ['int', 'long', 5, 5],
    ['int', 'double', 5, 5],
    ['long', 'double', 5, 5],
    ['float', 'double', 1.5, 1.5],
    ['string', 'bytes', 'é', new Uint8Array([0xc3, 0xa9])],
    ['bytes', 'string', new Uint8Array([0xc3, 0xa9]), 'é'],
    ['string', ['null', 'string'], 'x', 'x'],
    [['null', 'string'], 'string', 'x', 'x'],
    ['int', ['null', 'int', 'double'], 5, { int: 5 }],
    ['float', ['null', 'int', 'double'], 1.5, { double: 1.5 }],
    ['long', ['null', 'double', 'long'], 5, { long: 5 }],
    [['null', 'int', 'double'], ['null', 'double'], { int: 5 }, 5],
    [enumOf(['A', 'B']), enumOf(['A'], { default: 'A' }), 'B', 'A'],
    [decimal(4, 2), decimal(8, 2), '1.25', '1.25'],
    [{ type: 'array', items: 'int' }, { type: 'array', items: 'long' }, [1, 2], [1, 2]],
  ])('reads %j as %j', async (from, to, value, expected) => {
    expect(await reread(one(from), one(to), { v: value })).toEqual({ v: expected })
  })

  it('reorders fields, skips those that are gone and fills new ones with their defaults', async () => {
    const nested = { type: 'record', name: 'N', fields: [{ name: 'x', type: 'string' }] }
    const written = record([
      { name: 'gone', type: { type: 'map', values: { type: 'array', items: ['null', nested, 'double'] } } },
      { name: 'b', type: 'string' },
      { name: 'a', type: 'int' },
      { name: 'goneToo', type: ['null', 'bytes'] },
    ])
    const next = record([
      { name: 'a', type: 'int' },
      { name: 'b', type: 'string' },
      { name: 'new', type: { type: 'array', items: 'int' }, default: [] },
      { name: 'day', type: { type: 'int', logicalType: 'date' }, default: 0 },
      { name: 'choice', type: ['null', 'int', 'long'], default: null },
    ])
    const value = { gone: { k: [null, { x: 'y' }, 1.5] }, b: 'b', a: 1, goneToo: new Uint8Array([1]) }
    expect(await reread(written, next, value)).toEqual({ a: 1, b: 'b', new: [], day: '1970-01-01', choice: null })
  })

  it('gives each record its own default', async () => {
    const written = one('int')
    const next = record([
      { name: 'v', type: 'int' },
      { name: 'list', type: { type: 'array', items: 'int' }, default: [] },
    ])
    const codec = createAvroCodec({ schemaById: () => Promise.resolve(written) })
    const framed = codec.encode(1, written, { v: 1 })
    const [a, b] = [await codec.decode(framed, next), await codec.decode(framed, next)]
    expect(a.record).toEqual(b.record)
    expect(a.record['list']).not.toBe(b.record['list'])
  })

  it('follows aliases of records and fields', async () => {
    const written = JSON.stringify({ type: 'record', name: 'Old', fields: [{ name: 'a', type: 'int' }] })
    const next = record([{ name: 'b', type: 'int', aliases: ['a'] }], { aliases: ['Old'] })
    expect(await reread(written, next, { a: 1 })).toEqual({ b: 1 })
  })

  it('resolves recursive schemas', async () => {
    const list = (type: string): string =>
      record([
        { name: 'n', type },
        { name: 'next', type: ['null', 'R'] },
      ])
    const value = { n: 1, next: { n: 2, next: null } }
    expect(await reread(list('int'), list('long'), value)).toEqual(value)
  })

  it('never rounds in a promotion', async () => {
    await expect(reread(one('long'), one('double'), { v: (1n << 60n) + 1n })).rejects.toMatchObject({
      code: 'MESH_DECODE_AVRO',
      message: expect.stringContaining('does not fit a double'),
    })
  })

  it('fails on a value that the reader has no branch for', async () => {
    const written = one(['null', 'string'])
    expect(await reread(written, one('string'), { v: 'x' })).toEqual({ v: 'x' })
    await expect(reread(written, one('string'), { v: null })).rejects.toMatchObject({ code: 'MESH_DECODE_AVRO' })
  })
})

describe('incompatibilities', () => {
  it('are none for a schema and itself, and for a new field with a default', () => {
    const a = { name: 'a', type: 'int' }
    expect(incompatibilities(record([a]), record([a]))).toEqual([])
    expect(incompatibilities(record([a, { name: 'b', type: 'int', default: 1 }]), record([a]))).toEqual([])
    expect(incompatibilities(record([a]), record([a, { name: 'b', type: 'int' }]))).toEqual([])
  })

  it.each([
    [one('string'), one('int'), 'v changes its type from int to string'],
    [one('int'), one('long'), 'v is narrowed from long to int'],
    [one('string'), one(['null', 'string']), 'v no longer takes null'],
    [
      record([
        { name: 'v', type: 'int' },
        { name: 'w', type: 'int' },
      ]),
      one('int'),
      'w is added without a default',
    ],
    [one(enumOf(['A'])), one(enumOf(['A', 'B'])), 'v loses the enum symbol B'],
    [one(decimal(4, 3)), one(decimal(4, 2)), 'v changes from decimal(4, 2) to decimal(4, 3)'],
    [one(stamp('micros')), one(stamp('millis')), 'v changes from timestamp-millis to timestamp-micros'],
    [
      one({ type: 'fixed', name: 'F', size: 2 }),
      one({ type: 'fixed', name: 'F', size: 3 }),
      'v changes its size from 3 to 2 bytes',
    ],
    [
      one({ type: 'array', items: 'int' }),
      one({ type: 'array', items: 'string' }),
      'v.[] changes its type from string to int',
    ],
  ])('name the field: %s', (next, written, reason) => {
    expect(incompatibilities(next, written)).toEqual([expect.stringContaining(reason)])
  })
})
