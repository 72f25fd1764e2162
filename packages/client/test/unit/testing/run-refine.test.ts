import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { deadLetter, drop, ok, type Refine, tombstone } from '../../../src/refine.ts'
import { type RunRefineOptions, runRefine, sample } from '../../../src/testing/run-refine.ts'

const root = mkdtempSync(join(tmpdir(), 'mesh-kit-'))
const folder = join(root, 'streams', 'orders')
afterAll(() => rmSync(root, { recursive: true, force: true }))

const avsc = (name: string, ...fields: object[]) => JSON.stringify({ type: 'record', name, fields })
const optional = (name: string, type: unknown) => ({ name, type: ['null', type], default: null })

function write(stream: string, yaml: string, schema: string): void {
  mkdirSync(join(root, 'streams', stream), { recursive: true })
  writeFileSync(join(root, 'streams', stream, 'stream.yaml'), yaml)
  writeFileSync(join(root, 'streams', stream, 'refined.avsc'), schema)
}
const ORDER = avsc(
  'Order',
  { name: 'n', type: 'long' },
  optional('customer', 'string'),
  optional('total', { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 }),
  optional('at', { type: 'long', logicalType: 'timestamp-millis' }),
)
const JOIN =
  'refine: { schema: refined.avsc, joins: [{ stream: customers, as: customer, on: /who, onMissing: dead-letter }] }'
write(
  'customers',
  'name: customers\nkey: /id\ningest: [{ kind: events }]\nrefine: { schema: refined.avsc }\n',
  avsc('C', { name: 'id', type: 'string' }, optional('name', 'string')),
)
write('orders', `name: orders\nkey: /n\neventTime: { at: /at }\ningest: [{ kind: events }]\n${JOIN}\n`, ORDER)
mkdirSync(join(root, 'sources'))
writeFileSync(join(root, 'sources', 'shop.yaml'), 'name: shop\nkind: postgres\nhost: h\ndatabase: d\nuser: u\n')
write(
  'rows',
  'name: rows\ningest: [{ kind: cdc, source: shop, table: public.rows }]\nrefine: { schema: refined.avsc }\n',
  ORDER,
)

type Event = { readonly n: number | bigint; readonly does?: string }
const refine: Refine<Event, Record<string, unknown>> = (event, { joins, record }) => {
  const { n, does } = event
  const customer = joins['customer']?.['name'] ?? null
  if (does === 'drop') return drop('told to')
  if (does === 'refuse') return deadLetter('ODD', 'told to')
  if (does === 'throw') throw new Error('told to')
  if (does === 'mismatch') return ok({ n: 'x' })
  if (does === 'delete') return tombstone()
  if (does === 'many')
    return ok([
      { record: { n: 1 }, subKey: 'a' },
      { record: { n: 2 }, subKey: 'b' },
    ])
  return ok({ n, customer, total: '1.5', at: new Date(record.eventTime) })
}
const joins = { customers: { ada: { id: 'ada', name: 'Ada' } } }
const run = (samples: readonly unknown[], more: Partial<RunRefineOptions> = {}) =>
  runRefine({ folder, refine, joins, samples, ...more })

describe('running a stream in a test', () => {
  it('shows the record as consumers decode it, with its key, id and time', async () => {
    const big = 9_007_199_254_740_993n
    const results = await run([{ n: big, who: 'ada', at: '2020-01-02T03:04:05+01:00' }])
    expect(results).toEqual([
      {
        kind: 'ok',
        eventId: 'sample-0',
        eventTime: '2020-01-02T03:04:05+01:00',
        joins: 'customer=main;customers;0;0;0',
        records: [
          {
            key: '9007199254740993',
            record: { n: big, customer: 'Ada', total: '1.50', at: '2020-01-02T02:04:05.000Z' },
            bytes: expect.any(Uint8Array),
          },
        ],
      },
    ])
  })

  it('gives every fate its own kind and the enricher’s codes', async () => {
    const does = (what: string, n = 1) => ({ n, who: 'ada', does: what })
    const results = await run([
      does('drop'),
      does('refuse'),
      does('throw'),
      does('mismatch'),
      does('delete', 7),
      does('many', 8),
      { n: 1, who: 'nobody' },
      Buffer.from('{"n":1,'),
      sample(null, { key: 'gone' }),
      { who: 'ada' },
    ])
    expect(results).toMatchObject([
      { kind: 'drop', reason: 'told to' },
      { kind: 'deadLetter', code: 'ODD', stage: 'refine' },
      { kind: 'deadLetter', code: 'MESH_REFINE_THROWN' },
      { kind: 'deadLetter', code: 'MESH_REFINE_INVALID', message: expect.stringContaining('field n') },
      { kind: 'ok', records: [{ key: '7', record: null, bytes: null }] },
      { kind: 'ok', records: [{ key: '8/a', record: { n: 1, customer: null } }, { key: '8/b' }] },
      { kind: 'deadLetter', code: 'MESH_JOIN_MISSING' },
      { kind: 'refused', code: 'MESH_EVENT_JSON' },
      { kind: 'ok', records: [{ key: 'gone', record: null }] },
      { kind: 'refused', code: 'MESH_EVENT_KEY' },
    ])
  })

  it('takes a schema to come, and samples of the folder', async () => {
    const copy = join(root, 'streams', 'later')
    cpSync(folder, copy, { recursive: true })
    writeFileSync(
      join(copy, 'stream.yaml'),
      'name: later\nkey: /n\ningest: [{ kind: events }]\nrefine: { schema: refined.avsc }\n',
    )
    mkdirSync(join(copy, 'samples'))
    writeFileSync(join(copy, 'samples', 'b.json'), '{ "n": 2 }')
    writeFileSync(join(copy, 'samples', 'a.json'), '{ "n": 1 }')
    const schema = avsc('Order', { name: 'n', type: 'long' }, { name: 'added', type: 'string', default: 'new' })
    const results = await runRefine({ folder: copy, schema })
    expect(results).toMatchObject([
      { records: [{ record: { n: 1, added: 'new' } }] },
      { records: [{ record: { n: 2 } }] },
    ])
  })

  it('runs changes of a table in their order', async () => {
    const change = (lsn: number, op: string, after: object | null) =>
      sample({ op, before: null, after, source: { connector: 'postgresql', name: 'shop', lsn } }, { key: 'k' })
    const results = await runRefine({
      folder: join(root, 'streams', 'rows'),
      samples: [change(1, 'c', { n: 1 }), change(1, 'c', { n: 1 }), change(2, 'd', null), change(3, 't', null)],
    })
    expect(results).toMatchObject([
      { kind: 'ok', eventId: 'shop:1:k', records: [{ key: 'k', record: { n: 1 } }] },
      { kind: 'duplicate' },
      { kind: 'ok', records: [{ record: null }] },
      { kind: 'deadLetter', code: 'MESH_CDC_TRUNCATE' },
    ])
  })

  it('refuses rows that cannot be, and streams that are not joined', async () => {
    await expect(run([], { joins: { customers: { x: { name: 'no id' } } } })).rejects.toThrow('field id')
    await expect(run([], { joins: { others: {} } })).rejects.toMatchObject({ code: 'MESH_STREAM_JOIN_UNKNOWN' })
  })
})
