import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { StreamFolder } from '../../../src/schema/stream-folder.ts'
import { loadStreamFolder } from '../../../src/schema/stream-folder.ts'

const AVSC = JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'a', type: 'long' }] })
const MINIMAL = 'name: shop-orders\ningest: [{ kind: events }]\nrefine: { schema: refined.avsc }\n'

let root: string
let folders = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mesh-folder-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

type Files = Readonly<Record<string, string>>

async function load(yaml: string, files: Files = { 'refined.avsc': AVSC }): Promise<StreamFolder> {
  const streams = join(root, `${folders++}`, 'streams')
  const dir = join(streams, 'shop-orders')
  await mkdir(dir, { recursive: true })
  await mkdir(join(streams, 'customers'))
  await writeFile(join(dir, 'stream.yaml'), yaml)
  for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text)
  return loadStreamFolder(dir)
}

/** The problems of a contract: `line: reason`. */
async function problems(yaml: string, files?: Files): Promise<string[]> {
  const error: unknown = await load(yaml, files).catch((thrown: unknown) => thrown)
  if (!(error instanceof Error) || !('code' in error)) throw new Error('the contract was accepted')
  const prefix = /^streams\/shop-orders\//
  expect(error.message.split('\n').every((line) => prefix.test(line))).toBe(true)
  return [String(error.code), ...error.message.split('\n').map((line) => line.replace(prefix, ''))]
}

describe('a minimal contract', () => {
  it('gets every default', async () => {
    const { contract, rawSchema, refineFile } = await load(MINIMAL)
    expect(contract).toEqual({
      name: 'shop-orders',
      description: '',
      owner: '',
      key: [],
      eventId: null,
      eventTime: null,
      ingest: [{ kind: 'events', auth: 'api-key' }],
      validateAtIngest: false,
      raw: { partitions: 6, retentionMs: 604_800_000 },
      refine: {
        schema: 'refined.avsc',
        guarantee: 'at-least-once',
        breaker: { share: 0.5, window: 1000 },
        dedupeWindowMs: 604_800_000,
        joins: [],
        cleanup: 'delete',
        retentionMs: 604_800_000,
      },
      lake: { bronze: { format: 'parquet' }, silver: { format: 'parquet' } },
      warehouse: { table: 'SHOP_ORDERS', mode: 'append' },
    })
    expect([rawSchema, refineFile]).toEqual([null, null])
  })

  it('gets a dedupe window of at most its retention, and of at most 7 days', async () => {
    const window = async (retention: string): Promise<number> =>
      (await load(`${MINIMAL}raw: { retention: ${retention} }\n`)).contract.refine.dedupeWindowMs
    expect([await window('12h'), await window('30d')]).toEqual([43_200_000, 604_800_000])
  })

  it('keeps the lake for ever, unless it says how long', async () => {
    const lake = async (yaml: string): Promise<unknown> => (await load(`${MINIMAL}${yaml}`)).contract.lake
    const parquet = { format: 'parquet' }
    expect(await lake('')).toEqual({ bronze: parquet, silver: parquet })
    expect(await lake('lake: { bronze: { retention: 30d } }\n')).toEqual({
      bronze: { format: 'parquet', retentionMs: 2_592_000_000 },
      silver: parquet,
    })
  })
})

describe('a full contract', () => {
  it('is taken as written', async () => {
    const yaml = `
name: shop-orders
key: [/id, /customer/id]
eventId: /id
eventTime: { at: /at, format: "yyyy-MM-dd'T'HH:mm", zone: Europe/Zurich }
ingest:
  - { kind: events, auth: none, validate: true }
  - { kind: webhook, provider: github, secrets: [env:SECRET, 'file:/run/secret'] }
raw: { partitions: 3, retention: 2d }
refine:
  schema: refined.avsc
  guarantee: exactly-once
  breaker: { share: 0.8 }
  dedupe: { window: 1h }
  joins:
    - { stream: customers, as: customer, on: /customer/id, onMissing: dead-letter }
    - { stream: customers, on: /payer, asOf: event-time, history: 2d }
    - { stream: customers, as: seller, on: /seller, onMissing: { wait: 30s, then: 'null' } }
  cleanup: compact
lake: { bronze: { format: parquet }, silver: { format: parquet } }
warehouse: { table: ORDERS, mode: upsert }
`
    const files = { 'refined.avsc': AVSC, 'raw.schema.json': '{"type":"object"}', 'refine.ts': '' }
    const { contract, rawSchema, refineFile } = await load(yaml, files)
    expect(contract).toMatchObject({
      key: ['/id', '/customer/id'],
      eventTime: { zone: 'Europe/Zurich' },
      validateAtIngest: true,
      ingest: [
        { kind: 'events', auth: 'none' },
        { kind: 'webhook', provider: 'github', secrets: ['env:SECRET', 'file:/run/secret'] },
      ],
      raw: { partitions: 3, retentionMs: 172_800_000 },
      refine: {
        guarantee: 'exactly-once',
        breaker: { share: 0.8, window: 1000 },
        dedupeWindowMs: 3_600_000,
        joins: [
          { stream: 'customers', as: 'customer', on: '/customer/id', onMissing: 'dead-letter' },
          {
            stream: 'customers',
            as: 'customers',
            on: '/payer',
            onMissing: 'null',
            asOf: { historyMs: 172_800_000 },
          },
          { stream: 'customers', as: 'seller', on: '/seller', onMissing: { waitMs: 30_000, giveUp: 'null' } },
        ],
        cleanup: 'compact',
      },
      warehouse: { table: 'ORDERS', mode: 'upsert' },
    })
    expect(rawSchema).toEqual({ type: 'object' })
    expect(refineFile).toMatch(/shop-orders\/refine\.ts$/)
  })
})

describe('an invalid contract', () => {
  it('is told all its problems at once, each with its line', async () => {
    const yaml = `name: shop-orders
kye: /id
ingest:
  - { kind: event }
  - kind: webhook
    provider: guthub
    secrets: [plain-text]
raw:
  partitions: 0
  retention: 7 days
refine:
  schema: refined.avsc
  joins: [{ steam: x, on: id }]
warehouse: { table: orders }
`
    expect(await problems(yaml)).toEqual([
      'MESH_CONTRACT_INVALID',
      'stream.yaml:2: unknown key `kye`: did you mean `key`?',
      'stream.yaml:4: ingest.kind must be events or webhook or cdc or connect or poll or redis-stream or redis-keyspace or kafka',
      'stream.yaml:6: ingest.provider must be github',
      'stream.yaml:7: ingest.secrets must look like env:NAME or file:/path',
      'stream.yaml:9: raw.partitions must be >= 1',
      'stream.yaml:10: raw.retention must look like e.g. 7d, 12h, 30m, 10s',
      'stream.yaml:13: refine.joins needs the key `stream`',
      'stream.yaml:13: unknown key `steam`: did you mean `stream`?',
      'stream.yaml:13: refine.joins.on must look like JSON Pointer, e.g. /order/id',
      'stream.yaml:14: warehouse.table must look like ^[A-Z_][A-Z0-9_]*$',
    ])
  })

  it('names its first problem as the place', async () => {
    await expect(load('name: shop-orders\n\nnope: 1\n')).rejects.toMatchObject({
      place: 'streams/shop-orders/stream.yaml:1',
    })
  })

  it.each([
    ['name: other', 'name must be the folder'],
    ['eventTime: { at: /t, format: hh:mm }', 'format needs yyyy'],
    ['eventTime: { at: /t, format: yyyy-MM-dd, zone: Mars }', 'no IANA time zone'],
    ['eventTime: { at: /t, zone: UTC }', 'no effect'],
    ['warehouse: { mode: upsert }', 'needs `key`'],
    ['raw: { retention: 1d }\nrefine: { schema: refined.avsc, dedupe: { window: 2d } }', 'must not be longer'],
    ['raw: { retention: 0d }', 'longer than 0'],
    ['lake: { bronze: { format: parquet, retention: 6d } }', 'at least as long as raw.retention'],
    ['lake: { silver: { format: parquet, retention: 0s } }', 'longer than 0'],
    ['refine: { schema: refined.avsc, cleanup: compact }', 'needs `key`'],
    ['key: /id\nrefine: { schema: refined.avsc, cleanup: compact, retention: 1d }', 'no retention'],
    ['refine: { schema: refined.avsc, joins: [{ stream: nobody, on: /a }] }', 'no stream nobody'],
    ['refine: { schema: refined.avsc, joins: [{ stream: shop-orders, on: /a }] }', 'cannot join itself'],
    [
      'refine: { schema: refined.avsc, joins: [{ stream: customers, on: /a }, { stream: customers, on: /b }] }',
      'two joins are called customers',
    ],
    ['refine: { schema: refined.avsc, joins: [{ stream: customers, on: /a, history: 2d }] }', 'without `asOf'],
    [lookups('{ as: a, url: "https://{/host}/x" }'), 'without a {pointer} in it'],
    [lookups('{ as: a, url: "https://u:p@h/x" }'), 'holds no credential'],
    [lookups('{ as: a, url: "file:///etc/passwd" }'), 'url needs http'],
    [lookups('{ as: a, url: "https://h/", allow: [10.0.0.0] }'), 'CIDR'],
    [lookups('{ as: a, url: "https://h/" }, { as: a, url: "https://h/" }'), 'name of another'],
    ['ingest: [{ kind: events, secrets: [env:A] }]', '`secrets` belongs to kind webhook'],
    ['ingest: [{ kind: webhook, provider: github }]', 'needs `secrets`'],
    ['ingest: [{ kind: events, validate: true }]', 'needs raw.schema.json'],
    ['refine: { schema: missing.avsc }', 'not in the folder'],
    ['key: id', 'must look like JSON Pointer'],
    ['key: []', 'fewer than 1'],
    ['ingest: []', 'fewer than 1'],
    ['name: [', ''],
    ['name: shop-orders\nname: shop-orders', 'unique'],
  ])('%s is refused', async (lines, reason) => {
    const given = new Set(lines.split('\n').map((line) => line.slice(0, line.indexOf(':'))))
    const rest = MINIMAL.split('\n').filter((line) => !given.has(line.slice(0, line.indexOf(':'))))
    const [code, ...found] = await problems([...rest, lines].join('\n'))
    expect(code).toBe('MESH_CONTRACT_INVALID')
    expect(found.join('\n')).toMatch(/^stream\.yaml:\d+: /)
    expect(found.join('\n')).toContain(reason)
  })

  it('is one that is not there', async () => {
    await expect(loadStreamFolder(join(root, 'nowhere'))).rejects.toMatchObject({ code: 'MESH_CONTRACT_INVALID' })
  })
})

describe('an option that is not built', () => {
  it.each([
    ['ingest: [{ kind: stream, from: stripe }]', 'ingest kind stream'],
    ["ingest: [{ kind: stream, from: stripe, where: { type: 'invoice.*' } }]", 'ingest kind stream'],
    [
      'ingest: [{ kind: webhook, provider: standard-webhooks, secrets: [env:A] }]',
      'webhook provider standard-webhooks',
    ],
    ['lake: { silver: { format: parquet, table: delta } }', 'silver table delta'],
    ['lake: { silver: { partitionBy: [day] } }', 'silver partitionBy'],
    ['lake: { bronze: { columns: [/a] } }', 'parsed columns of bronze'],
    ['warehouse: { mode: append, orderBy: at }', 'warehouse orderBy'],
  ])('%s is refused by name', async (line, option) => {
    const key = line.slice(0, line.indexOf(':'))
    const rest = MINIMAL.split('\n').filter((one) => !one.startsWith(`${key}:`))
    expect(await problems([line, ...rest].join('\n'))).toEqual([
      'MESH_CONTRACT_NOT_YET',
      `stream.yaml:1: ${option} is planned and not built`,
    ])
  })

  it('is told beside real mistakes, which decide the code', async () => {
    const [code, ...lines] = await problems(`${MINIMAL}nope: 1\nlake: { silver: { table: delta } }\n`)
    expect([code, lines.length]).toEqual(['MESH_CONTRACT_INVALID', 2])
  })
})

describe('a bad schema', () => {
  it.each([
    [{ 'refined.avsc': '{' }, 'refined.avsc: the Avro schema is not valid'],
    [{ 'refined.avsc': '"string"' }, 'refined.avsc: the schema is a string, not a record'],
    [{ 'refined.avsc': AVSC.replace('"a"', '"_op"') }, 'refined.avsc: field _op has the column name of _op'],
    [
      { 'refined.avsc': AVSC.replace('[{', '[{"name":"A","type":"int"},{') },
      'refined.avsc: field a has the column name of A',
    ],
    [{ 'refined.avsc': AVSC, 'raw.schema.json': '{\n"type": }' }, 'raw.schema.json:2: a value is expected'],
    [{ 'refined.avsc': AVSC, 'raw.schema.json': '{"type":"objekt"}' }, 'raw.schema.json: schema is invalid'],
    [{ 'refined.avsc': AVSC, 'raw.schema.json': '[]' }, 'raw.schema.json: a JSON Schema is an object'],
  ])('is refused: %j', async (files, reason) => {
    const [code, line] = await problems(MINIMAL, files as Files)
    expect([code, line]).toEqual(['MESH_CONTRACT_SCHEMA', expect.stringContaining(reason)])
  })
})

function lookups(items: string): string {
  return `refine: { schema: refined.avsc, lookups: [${items}] }`
}
