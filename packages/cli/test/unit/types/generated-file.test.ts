import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Contract, JoinRule } from '@mesh/shared/core/contract'
import { afterAll, describe, expect, it } from 'vitest'
import { generatedFile, type TypedStream } from '../../../src/types/generated-file.ts'

const field = (name: string, type: unknown, more: object = {}) => ({ name, type, ...more })
const record = (name: string, fields: readonly object[], more: object = {}) => ({
  type: 'record',
  name,
  fields,
  ...more,
})

function streamOf(
  name: string,
  avsc: object,
  {
    rawSchema = null,
    joins = [],
    kind = 'events',
  }: { rawSchema?: object | null; joins?: JoinRule[]; kind?: string } = {},
): TypedStream {
  const contract = { name, ingest: [{ kind }], refine: { joins } } as unknown as Contract
  return { contract, refinedAvsc: JSON.stringify(avsc), rawSchema: rawSchema as TypedStream['rawSchema'] }
}

const decimal = { type: 'bytes', logicalType: 'decimal', precision: 12, scale: 2 }
const timestamp = { type: 'long', logicalType: 'timestamp-micros' }
const EVERYTHING = record(
  'Order',
  [
    field('id', 'long', { doc: 'Of the shop\n  */ and no other' }),
    field('total', decimal),
    field('discount', ['null', decimal], { default: null }),
    field('at', timestamp),
    field('day', { type: 'int', logicalType: 'date' }),
    field('clock', { type: 'long', logicalType: 'time-micros' }),
    field('uid', { type: 'string', logicalType: 'uuid' }),
    field('state', { type: 'enum', name: 'State', symbols: ['OPEN', 'PAID'] }),
    field('states', { type: 'array', items: ['null', 'State'] }),
    field('raw', 'bytes'),
    field('mac', { type: 'fixed', name: 'Mac', size: 6 }),
    field('ratio', 'double'),
    field('ok', 'boolean'),
    field('any', ['null', 'string', 'long', 'boolean']),
    field('wrapped', [
      'null',
      'int',
      'long',
      { type: 'record', name: 'Part', namespace: 'other', fields: [field('n', 'int')] },
    ]),
    field('lines', { type: 'array', items: record('Line', [field('sku', 'string'), field('price', decimal)]) }),
    field('byCode', { type: 'map', values: 'Line' }),
    field('parent', ['null', 'Order'], { default: null }),
  ],
  { namespace: 'shop' },
)

describe('types of a refined schema', () => {
  it('are the value model, field by field', async () => {
    const text = await generatedFile(streamOf('orders', EVERYTHING), new Map())
    const read = text.slice(text.indexOf('export type Order ='), text.indexOf('export type OrderInput'))
    expect(read.match(/readonly \w+\??: .*/g)).toEqual([
      'readonly id: number | bigint',
      'readonly total: string',
      'readonly discount: string | null',
      'readonly at: string',
      'readonly day: string',
      'readonly clock: string',
      'readonly uid: string',
      'readonly state: State',
      'readonly states: readonly (State | null)[]',
      'readonly raw: Uint8Array',
      'readonly mac: Uint8Array',
      'readonly ratio: number',
      'readonly ok: boolean',
      'readonly any: string | number | bigint | boolean | null',
      "readonly wrapped: { readonly int: number } | { readonly long: number | bigint } | { readonly 'other.Part': Part } | null",
      'readonly lines: readonly Line[]',
      'readonly byCode: Readonly<Record<string, Line>>',
      'readonly parent: Order | null',
    ])
    expect(read).toContain('/** Of the shop * / and no other */')
    expect(text).toContain("export type State = 'OPEN' | 'PAID'")
  })

  it('take from refine.ts what the encoder takes: Dates, numbers for decimals, nothing where there is a default', async () => {
    const text = await generatedFile(streamOf('orders', EVERYTHING), new Map())
    const input = text.slice(text.indexOf('export type OrderInput ='))
    expect(input).toContain('readonly total: string | number | bigint')
    expect(input).toContain('readonly discount?: string | number | bigint | null')
    expect(input).toContain('readonly at: string | Date')
    expect(input).toContain('readonly lines: readonly LineInput[]')
    expect(text).toContain('export type PartInput = Part')
  })

  it('give two types of one name both their names, and leave TypeScript its own', async () => {
    const inner = (namespace: string) => record('Same', [field('x', 'int')], { namespace })
    const avsc = record('Top', [field('a', inner('a')), field('b', inner('b')), field('c', record('Record', []))])
    const text = await generatedFile(streamOf('top', avsc), new Map())
    expect(text).toContain('readonly a: a_Same')
    expect(text).toContain('readonly b: b_Same')
    expect(text).toContain('readonly c: Record_')
  })
})

describe('types of a raw schema', () => {
  const avsc = record('Order', [field('id', 'int')])

  it('without one say that nothing is known', async () => {
    expect(await generatedFile(streamOf('orders', avsc), new Map())).toContain('export type RawOrder = unknown')
  })

  it('have integers of format int64 as they arrive', async () => {
    const rawSchema = { title: 'Ignored', type: 'object', properties: { n: { type: 'integer', format: 'int64' } } }
    const text = await generatedFile(streamOf('orders', avsc, { rawSchema }), new Map())
    expect(text).toMatch(/export interface RawOrder \{\s+n\?: number \| bigint/)
  })

  it('of a change stream are those of the row', async () => {
    const rawSchema = { type: 'object', properties: { n: { type: 'integer' } } }
    const text = await generatedFile(streamOf('orders', avsc, { rawSchema, kind: 'cdc' }), new Map())
    expect(text).toContain("import type { Change } from '@mesh/client/refine'")
    expect(text).toContain('export interface RawOrderRow {')
    expect(text).toContain('export type RawOrder = Change<RawOrderRow>')
    expect(await generatedFile(streamOf('orders', avsc, { kind: 'cdc' }), new Map())).toContain(
      'export type RawOrder = Change\n',
    )
  })

  it.each([
    [
      'a reference out of the file',
      { properties: { a: { $ref: 'https://example.com/x.json' } } },
      'leads out of the file',
    ],
    ['a taken name', { properties: { a: { title: 'Order', type: 'object' } } }, 'the type Order, which is taken'],
    ['a reference to nothing', { properties: { a: { $ref: '#/definitions/none' } } }, 'no types can be made of it'],
  ])('with %s is refused by file', async (_name, rawSchema, reason) => {
    await expect(generatedFile(streamOf('orders', avsc, { rawSchema }), new Map())).rejects.toMatchObject({
      code: 'MESH_CONTRACT_SCHEMA',
      message: expect.stringContaining(reason),
      place: 'streams/orders/raw.schema.json',
    })
  })
})

describe('types of joins', () => {
  const joinOf = (stream: string, as: string, onMissing: JoinRule['onMissing']): JoinRule => ({
    stream,
    as,
    on: '/x',
    onMissing,
  })
  const joined = new Map([
    ['customers', streamOf('customers', record('Customer', []))],
    ['old-orders', streamOf('old-orders', record('Order', []))],
  ])
  const joins = [joinOf('customers', 'customer', 'dead-letter'), joinOf('old-orders', 'former', 'null')]

  it('are the rows of the joined streams, null unless a missing row is a dead letter', async () => {
    const text = await generatedFile(streamOf('orders', record('Order', []), { joins }), joined)
    expect(text).toContain("import type { Customer } from '../customers/generated.ts'")
    expect(text).toContain("import type { Order as OrderOfOldOrders } from '../old-orders/generated.ts'")
    expect(text).toContain('  readonly customer: Customer\n  readonly former: OrderOfOldOrders | null\n')
  })

  it('of a change stream may always be null: a delete has no row to join', async () => {
    const text = await generatedFile(streamOf('orders', record('Order', []), { joins, kind: 'cdc' }), joined)
    expect(text).toContain('readonly customer: Customer | null')
  })
})

describe('what is generated', () => {
  const dir = mkdtempSync(join(tmpdir(), 'mesh-types-'))
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  it('compiles, and lets the compiler catch what the encoder would refuse', async () => {
    const root = join(import.meta.dirname, '..', '..', '..', '..', '..')
    const rawSchema = { type: 'object', required: ['id'], properties: { id: { type: 'integer' } } }
    const file = await generatedFile(streamOf('orders', EVERYTHING, { rawSchema }), new Map())
    mkdirSync(join(dir, 'node_modules'))
    symlinkSync(join(root, 'node_modules', '@mesh'), join(dir, 'node_modules', '@mesh'))
    writeFileSync(join(dir, 'generated.ts'), file)
    writeFileSync(
      join(dir, 'use.ts'),
      `import { ok, type Refine } from '@mesh/client/refine'
import type { Line, LineInput, OrderInput, RawOrder } from './generated.ts'
export const line: LineInput = { sku: 'a', price: 3 }
// @ts-expect-error a decimal is read as text
export const readLine: Line = { sku: 'a', price: 3 }
export const partial: Pick<OrderInput, 'at' | 'state'> = { at: new Date(0), state: 'PAID' }
// @ts-expect-error no such symbol
export const wrong: Pick<OrderInput, 'state'> = { state: 'LOST' }
// @ts-expect-error fields are missing
export const refine: Refine<RawOrder, OrderInput> = (event) => ok<OrderInput>({ id: event.id })
`,
    )
    const flags = [
      '--noEmit',
      '--ignoreConfig',
      '--strict',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--allowImportingTsExtensions',
      '--types',
      '',
    ]
    const tsc = join(root, 'node_modules', '.bin', 'tsc')
    const told = await new Promise((resolve) => {
      execFile(tsc, [...flags, join(dir, 'use.ts')], (error, stdout) => resolve({ error, stdout }))
    })
    expect(told).toEqual({ error: null, stdout: '' })
  }, 180_000)
})
