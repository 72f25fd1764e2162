import { describe, expect, it } from 'vitest'
import { incompatibilities } from '../../../src/schema/compatibility.ts'
import { describeChange, schemaChanges } from '../../../src/schema/schema-changes.ts'

const record = (fields: readonly unknown[], rest: object = {}): string =>
  JSON.stringify({ type: 'record', name: 'R', fields, ...rest })
const one = (type: unknown, rest: object = {}): string => record([{ name: 'v', type, ...rest }])
const enumOf = (symbols: readonly string[], rest: object = {}) => ({ type: 'enum', name: 'E', symbols, ...rest })
const fixed = (size: number, name = 'F') => ({ type: 'fixed', name, size })
const decimal = (precision: number, scale: number) => ({ type: 'bytes', logicalType: 'decimal', precision, scale })
const long = (logicalType: string) => ({ type: 'long', logicalType })
const inner = (fields: readonly unknown[], rest: object = {}) => ({ type: 'record', name: 'Inner', fields, ...rest })
const a = { name: 'a', type: 'int' }

describe('unsafe changes are named by field, with a way out', () => {
  it.each([
    [
      'added without default',
      record([a, { name: 'b', type: 'string' }]),
      record([a]),
      'field b is added without a default: give it one',
    ],
    [
      'renamed without alias',
      record([{ name: 'b', type: 'int' }]),
      record([a]),
      '"aliases": ["a"] if it is a under another name',
    ],
    ['narrowed', one('int'), one('long'), 'field v is narrowed from long to int: keep long'],
    [
      'narrowed in a nullable',
      one(['null', 'float']),
      one(['null', 'double']),
      'field v no longer takes double: keep double in its type',
    ],
    [
      'another type',
      one('string'),
      one('int'),
      'field v changes its type from int to string: add a field of another name',
    ],
    [
      'no longer nullable',
      one('string'),
      one(['null', 'string']),
      'field v no longer takes null, which older records hold: keep "null"',
    ],
    ['a branch less', one(['null', 'string']), one(['null', 'string', 'long']), 'field v no longer takes long'],
    [
      'a symbol less',
      one(enumOf(['A'])),
      one(enumOf(['A', 'B', 'C'])),
      'field v loses the enum symbol B, C, which older records may hold',
    ],
    ['another size', one(fixed(2)), one(fixed(3)), 'field v changes its size from 3 to 2 bytes'],
    [
      'another name',
      one(fixed(3, 'G')),
      one(fixed(3)),
      'field v has its type F renamed to G: keep the name, or add "aliases": ["F"]',
    ],
    ['another scale', one(decimal(9, 3)), one(decimal(9, 2)), 'field v changes from decimal(9, 2) to decimal(9, 3)'],
    ['less precision', one(decimal(4, 2)), one(decimal(9, 2)), 'field v changes from decimal(9, 2) to decimal(4, 2)'],
    [
      'another unit',
      one(long('timestamp-micros')),
      one(long('timestamp-millis')),
      'from timestamp-millis to timestamp-micros',
    ],
    [
      'in a nested record',
      one(inner([a, { name: 'b', type: 'int' }])),
      one(inner([a])),
      'field v.b is added without a default',
    ],
    [
      'in an array',
      one({ type: 'array', items: 'int' }),
      one({ type: 'array', items: 'string' }),
      'field v.[] changes its type',
    ],
    ['in a map', one({ type: 'map', values: 'int' }), one({ type: 'map', values: 'long' }), 'field v.{} is narrowed'],
    ['the record renamed', record([a], { name: 'S' }), record([a]), 'the record has its type R renamed to S'],
  ])('%s', (_name, next, written, words) => {
    expect(incompatibilities(next, written)).toEqual([expect.stringContaining(words)])
  })

  it('all at once', () => {
    const written = record([a, { name: 'b', type: 'long' }, { name: 'c', type: ['null', 'string'] }])
    const next = record([a, { name: 'b', type: 'int' }, { name: 'c', type: 'string' }, { name: 'd', type: 'int' }])
    expect(incompatibilities(next, written)).toHaveLength(3)
  })
})

describe('safe changes are named too', () => {
  it.each([
    ['nothing', record([a]), record([a]), []],
    [
      'added with default',
      record([a, { name: 'b', type: ['null', 'int'], default: null }]),
      record([a]),
      ['field b is added; older records read as null'],
    ],
    [
      'removed',
      record([a]),
      record([a, { name: 'b', type: 'int' }]),
      ['field b is removed: records keep it, readers with the new schema pass it over'],
    ],
    [
      'renamed by alias',
      record([{ name: 'b', type: 'int', aliases: ['a'] }]),
      record([a]),
      ['field b is a under another name, by its alias'],
    ],
    [
      'type renamed by alias',
      one({ ...fixed(3, 'G'), aliases: ['F'] }),
      one(fixed(3)),
      ['field v has its type F renamed to G, by its alias'],
    ],
    ['widened', one('double'), one('int'), ['field v is widened from int to double']],
    ['widened in a union', one(['null', 'long']), one(['null', 'int']), ['field v is widened from int to long']],
    ['nullable', one(['null', 'string']), one('string'), ['field v may be null']],
    ['a branch more', one(['null', 'string', 'long']), one(['null', 'string']), ['field v takes long too']],
    [
      'symbols',
      one(enumOf(['A', 'C'], { default: 'A' })),
      one(enumOf(['A', 'B'])),
      ['field v loses B: older records read as A', 'field v takes C too'],
    ],
    [
      'more precision',
      one(decimal(9, 2)),
      one(decimal(4, 2)),
      ['field v is widened from decimal(4, 2) to decimal(9, 2)'],
    ],
    [
      'a logical type',
      one(long('timestamp-millis')),
      one('long'),
      ['field v is read as timestamp-millis instead of long'],
    ],
  ])('%s', (_name, next, written, words) => {
    expect(schemaChanges(next, written).map(describeChange)).toEqual(words)
    expect(incompatibilities(next, written)).toEqual([])
  })

  it('a recursive schema is compared once', () => {
    const list = (type: string) =>
      record([
        { name: 'n', type },
        { name: 'next', type: ['null', 'R'] },
      ])
    expect(schemaChanges(list('long'), list('int')).map(describeChange)).toEqual([
      'field n is widened from int to long',
    ])
  })
})
