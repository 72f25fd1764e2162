type Json = unknown
/** A type, a value as refine.ts may return it, the value as consumers decode it, and what DuckDB shows of it as text. */
export type Extreme = readonly [name: string, type: Json, given: unknown, decoded: unknown, shown: string | null]

const MAX = 2n ** 63n - 1n
const decimal = (precision: number, scale: number) => ({ type: 'bytes', logicalType: 'decimal', precision, scale })
const fixedDecimal = { type: 'fixed', name: 'D16', size: 16, logicalType: 'decimal', precision: 38, scale: 38 }
const long = (logicalType: string) => ({ type: 'long', logicalType })
const point = {
  type: 'record',
  name: 'Point',
  fields: [
    { name: 'x', type: 'long' },
    { name: 'note', type: ['null', 'string'], default: null },
  ],
}
const tree = {
  type: 'record',
  name: 'Tree',
  fields: [
    { name: 'n', type: 'int' },
    { name: 'next', type: ['null', 'Tree'], default: null },
  ],
}
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const same = (name: string, type: Json, value: unknown, shown: string | null): Extreme => [
  name,
  type,
  value,
  value,
  shown,
]

export const EXTREMES: readonly Extreme[] = [
  same('the largest long', 'long', MAX, `${MAX}`),
  same('the smallest long', 'long', -MAX - 1n, `${-MAX - 1n}`),
  same('a long beyond 2^53', 'long', 9_007_199_254_740_993n, '9007199254740993'),
  ['a small bigint', 'long', 5n, 5, '5'],
  same('a negative int', 'int', -2_147_483_648, '-2147483648'),

  same(
    '38 digits',
    decimal(38, 10),
    '-1234567890123456789012345678.0123456789',
    '-1234567890123456789012345678.0123456789',
  ),
  same(
    '38 digits after the point',
    fixedDecimal,
    '0.00000000000000000000000000000000000001',
    '.00000000000000000000000000000000000001',
  ),
  same(
    'a decimal of scale 0',
    decimal(38, 0),
    '-99999999999999999999999999999999999999',
    '-99999999999999999999999999999999999999',
  ),
  ['a short decimal', decimal(9, 2), '-12.5', '-12.50', '-12.50'],
  ['a decimal given as integer', decimal(9, 2), -7, '-7.00', '-7.00'],
  ['a negative zero decimal', decimal(9, 2), '-0', '0.00', '0.00'],
  same(
    'a decimal wider than any column',
    decimal(50, 2),
    '123456789012345678901234567890123456789012345.67',
    '123456789012345678901234567890123456789012345.67',
  ),

  same('null in a union', ['null', 'string'], null, null),
  same('null that is not first', ['string', 'null'], null, null),
  same('an ambiguous union', ['null', 'int', 'long'], { long: MAX }, `{"long":${MAX}}`),
  same(
    'an ambiguous union of records',
    ['null', point, { type: 'map', values: 'int' }],
    { Point: { x: 1, note: null } },
    '{"Point":{"x":1,"note":null}}',
  ),
  same('a union told apart by kind', ['null', 'string', 'double', 'boolean'], false, 'false'),
  same('text in such a union', ['null', 'string', 'double', 'boolean'], 'é"', '"é\\""'),

  ['a nested record with its default', point, { x: MAX }, { x: MAX, note: null }, `{"x":${MAX},"note":null}`],
  same('a recursive record', tree, { n: 1, next: { n: 2, next: null } }, '{"n":1,"next":{"n":2,"next":null}}'),
  same(
    'an array of records',
    { type: 'array', items: point },
    [
      { x: 1, note: '😀' },
      { x: -1, note: null },
    ],
    '[{"x":1,"note":"😀"},{"x":-1,"note":null}]',
  ),
  [
    'a map of records',
    { type: 'map', values: point },
    { b: { x: 1 }, a: { x: 2 } },
    { a: { x: 2, note: null }, b: { x: 1, note: null } },
    '{"a":{"x":2,"note":null},"b":{"x":1,"note":null}}',
  ],
  same('an array of nullable longs', { type: 'array', items: ['null', 'long'] }, [null, MAX], `[null,${MAX}]`),
  same('an empty array', { type: 'array', items: 'int' }, [], '[]'),
  same('an empty map', { type: 'map', values: 'int' }, {}, '{}'),
  same(
    'a map with a hostile key',
    { type: 'map', values: 'int' },
    JSON.parse('{"__proto__":1,"":2}'),
    '{"":2,"__proto__":1}',
  ),

  ['a date before 1970', { type: 'int', logicalType: 'date' }, '1899-12-31', '1899-12-31', '1899-12-31'],
  ['a date as a connector writes it', { type: 'int', logicalType: 'date' }, '1969-12-31Z', '1969-12-31', '1969-12-31'],
  [
    'milliseconds before 1970',
    long('timestamp-millis'),
    '1969-12-31T23:59:59.999Z',
    '1969-12-31T23:59:59.999Z',
    '1969-12-31 23:59:59.999+00',
  ],
  [
    'microseconds before 1970',
    long('timestamp-micros'),
    '1901-02-03T04:05:06.000001+01:00',
    '1901-02-03T03:05:06.000001Z',
    '1901-02-03 03:05:06.000001+00',
  ],
  [
    'nanoseconds before 1970',
    long('timestamp-nanos'),
    '1969-12-31T23:59:59.999999999Z',
    '1969-12-31T23:59:59.999999999Z',
    '1969-12-31T23:59:59.999999999Z',
  ],
  ['a Date', long('timestamp-micros'), new Date(-1), '1969-12-31T23:59:59.999000Z', '1969-12-31 23:59:59.999+00'],
  [
    'local milliseconds before 1970',
    long('local-timestamp-millis'),
    '1969-12-31T23:59:59.001',
    '1969-12-31T23:59:59.001',
    '1969-12-31 23:59:59.001',
  ],
  ['a time in microseconds', long('time-micros'), '23:59:59.999999', '23:59:59.999999', '23:59:59.999999'],
  ['a time as a connector writes it', long('time-micros'), '00:00:00.000001Z', '00:00:00.000001', '00:00:00.000001'],
  ['a time in milliseconds', { type: 'int', logicalType: 'time-millis' }, '00:00:00', '00:00:00.000000', '00:00:00'],

  same('not a number', 'double', Number.NaN, 'nan'),
  same('infinity', 'double', Infinity, 'inf'),
  same('minus infinity', 'float', -Infinity, '-inf'),
  same('minus zero', 'double', -0, '-0.0'),
  same('minus zero in single precision', 'float', -0, '-0.0'),
  same('the smallest double', 'double', 5e-324, '5e-324'),
  same('not a number in an array', { type: 'array', items: 'double' }, [Number.NaN, -Infinity], '["NaN","-Infinity"]'),

  same('an enum', { type: 'enum', name: 'E', symbols: ['A', 'B'], default: 'A' }, 'B', 'B'),
  same('a fixed', { type: 'fixed', name: 'F', size: 3 }, bytes(0, 128, 255), '\\x00\\x80\\xFF'),
  same('bytes', 'bytes', bytes(0, 10, 255), '\\x00\\x0A\\xFF'),
  same('no bytes', 'bytes', bytes(), ''),
  same('bytes in an array', { type: 'array', items: 'bytes' }, [bytes(1, 2)], '["AQI="]'),
  same(
    'a uuid',
    { type: 'string', logicalType: 'uuid' },
    'f47ac10b-58cc-4372-a567-0e02b2c3d479',
    'f47ac10b-58cc-4372-a567-0e02b2c3d479',
  ),
  same(
    'a uuid in 16 bytes',
    { type: 'fixed', name: 'U', size: 16, logicalType: 'uuid' },
    'f47ac10b-58cc-4372-a567-0e02b2c3d479',
    'f47ac10b-58cc-4372-a567-0e02b2c3d479',
  ),
  same('an empty string', 'string', '', ''),
  same('a string of every plane', 'string', '\0\uFFFD😀é', '\0\uFFFD😀é'),
]
