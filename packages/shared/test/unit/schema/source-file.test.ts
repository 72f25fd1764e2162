import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freezeBundle, getBundle, putBundle } from '../../../src/schema/bundle.ts'
import type { StreamFolder } from '../../../src/schema/stream-folder.ts'
import { loadStreamFolder } from '../../../src/schema/stream-folder.ts'
import { createMemoryObjectStore } from '../../../src/testing/memory-object-store.ts'

const AVSC = JSON.stringify({ type: 'record', name: 'R', fields: [{ name: 'a', type: 'long' }] })
const SHOP = `name: shop
kind: postgres
host: db.example.com
database: shop
user: mesh
password: env:SHOP_PASSWORD
`
const CDC = 'ingest: [{ kind: cdc, source: shop, table: public.orders }]'

let root: string
let folders = 0
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'mesh-source-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

async function load(lines: string, sources: Readonly<Record<string, string>>): Promise<StreamFolder> {
  const project = join(root, `${folders++}`)
  const dir = join(project, 'streams', 'orders')
  await mkdir(dir, { recursive: true })
  await mkdir(join(project, 'sources'))
  await writeFile(join(dir, 'stream.yaml'), `name: orders\nrefine: { schema: refined.avsc }\n${lines}\n`)
  await writeFile(join(dir, 'refined.avsc'), AVSC)
  for (const [name, text] of Object.entries(sources)) await writeFile(join(project, 'sources', `${name}.yaml`), text)
  return loadStreamFolder(dir)
}

async function problems(lines: string, sources: Readonly<Record<string, string>> = { shop: SHOP }): Promise<string> {
  const error: unknown = await load(lines, sources).catch((thrown: unknown) => thrown)
  if (!(error instanceof Error)) throw new Error('the contract was accepted')
  return error.message
}

describe('a stream that is pulled from a source', () => {
  it('carries the source with its defaults, and references instead of secrets', async () => {
    const { contract, sources } = await load(CDC, { shop: SHOP })
    expect(contract.ingest).toEqual([{ kind: 'cdc', source: 'shop', table: 'public.orders' }])
    expect(sources['shop']).toEqual({
      name: 'shop',
      description: '',
      owner: '',
      kind: 'postgres',
      host: 'db.example.com',
      port: '5432',
      database: 'shop',
      user: 'mesh',
      password: 'env:SHOP_PASSWORD',
      ssl: 'prefer',
      publication: 'managed',
      signalSchema: 'mesh',
      snapshot: 'initial',
      heartbeatMs: 10_000,
    })
  })

  it.each([
    ['postgres', `${SHOP}ssl: verify-full\nca: file:/etc/ssl/db.pem\n`, 'cdc, source: shop, table: public.orders'],
    [
      'redis',
      'name: shop\nkind: redis\nhost: r\ntls: true\nca: file:/etc/ssl/db.pem\n',
      'redis-stream, source: shop, stream: s',
    ],
    [
      'kafka',
      'name: shop\nkind: kafka\nbrokers: b:1\ntls: true\nca: file:/etc/ssl/db.pem\n',
      'kafka, source: shop, topic: t, format: json',
    ],
  ])('may name the authority of its server: %s', async (_kind, shop, ingest) => {
    const { sources } = await load(`ingest: [{ kind: ${ingest} }]`, { shop })
    expect(sources['shop']).toMatchObject({ ca: 'file:/etc/ssl/db.pem' })
  })

  it.each([
    ['postgres', `${SHOP}ssl: verify-full\nca: file:/ca\n`, 'cdc, source: shop, table: public.orders'],
    ['redis', 'name: shop\nkind: redis\nhost: r\ntls: true\n', 'redis-stream, source: shop, stream: s'],
    ['kafka', 'name: shop\nkind: kafka\nbrokers: b:1\ntls: true\n', 'kafka, source: shop, topic: t, format: json'],
    ['http', 'name: shop\nkind: http\nurl: https://h\nca: file:/ca\n', 'poll, source: shop, path: /x, every: 1m'],
  ])('may show a certificate: %s', async (_kind, shop, ingest) => {
    const pair = 'cert: file:/etc/mesh.pem\nkey: file:/run/key.pem\n'
    const { sources } = await load(`eventId: /id\ningest: [{ kind: ${ingest} }]`.replace(/^eventId.*\n(?=.*cdc)/, ''), {
      shop: shop + pair,
    })
    expect(sources['shop']).toMatchObject({ cert: 'file:/etc/mesh.pem', key: 'file:/run/key.pem' })
  })

  it.each([
    ['ssl: require\ncert: file:/c', '`cert` needs `key` beside it'],
    ['ssl: require\nkey: file:/k', '`key` needs `cert` beside it'],
    ['cert: file:/c\nkey: file:/k', '`cert` needs `ssl: require`, `verify-ca` or `verify-full`'],
    ['ssl: verify-full\ncert: file:/c\nkey: file:/k', '`cert` with `ssl: verify-full` needs `ca`'],
    ['ssl: require\ncert: PEM\nkey: file:/k', 'cert must look like file:/path of a PEM'],
  ])('with a certificate that would not be shown is refused: %s', async (lines, reason) => {
    expect(await problems(CDC, { shop: `${SHOP}${lines}\n` })).toContain(reason)
  })

  it.each([
    ['kind: redis\nhost: r', 'redis-stream, source: shop, stream: s', '`cert` needs `tls: true`'],
    ['kind: http\nurl: http://h', 'poll, source: shop, path: /x, every: 1m', '`cert` needs a `url` of https'],
  ])('without TLS shows no certificate: %s', async (lines, ingest, reason) => {
    const shop = `name: shop\n${lines}\ncert: file:/c\nkey: file:/k\n`
    expect(await problems(`ingest: [{ kind: ${ingest} }]`, { shop })).toContain(reason)
  })

  it('is frozen with its source: a changed source is another bundle with the same code', async () => {
    const store = createMemoryObjectStore()
    const one = await freezeBundle(await load(CDC, { shop: SHOP }))
    const other = await freezeBundle(await load(CDC, { shop: SHOP.replace('db.example.com', 'db2.example.com') }))
    await putBundle(store, one)
    expect((await getBundle(store, one.hash)).sources).toEqual(one.sources)
    expect(other.hash).not.toBe(one.hash)
    expect(other.codeHash).toBe(one.codeHash)
  })

  it('may upsert and compact without a key: the primary key is the key', async () => {
    const lines = `${CDC}\nwarehouse: { mode: upsert }`
    await expect(load(lines, { shop: SHOP })).resolves.toMatchObject({ contract: { key: [] } })
  })

  it.each([
    ['mongodb', 'url: mongodb://127.0.0.1:27017/?replicaSet=rs0\nreader: connect', 'cdc, source: shop, table: a.b'],
    ['connect', 'config: { connector.class: org.example.Source, tasks.max: 1 }', 'connect, source: shop'],
  ])('takes a source of kind %s: %s', async (kind, lines, ingest) => {
    const { sources } = await load(`ingest: [{ kind: ${ingest} }]`, { shop: `name: shop\nkind: ${kind}\n${lines}\n` })
    expect(sources['shop']).toMatchObject({ kind })
  })
})

describe('a source of kind mongodb', () => {
  const shop = 'name: shop\nkind: mongodb\nurl: env:MONGO_URL\n'

  it('is read by the driver unless it says otherwise, and may call its tables collections', async () => {
    const { contract, sources } = await load('ingest: [{ kind: cdc, source: shop, collection: shop.old.orders }]', {
      shop,
    })
    expect(contract.ingest).toEqual([{ kind: 'cdc', source: 'shop', table: 'shop.old.orders' }])
    expect(sources['shop']).toEqual({
      name: 'shop',
      description: '',
      owner: '',
      kind: 'mongodb',
      url: 'env:MONGO_URL',
      reader: 'driver',
      snapshot: 'initial',
      updates: 'lookup',
      oversize: 'fail',
      heartbeatMs: 10_000,
    })
  })

  it.each([
    ['collection: shop.orders, table: shop.orders', '`table` and `collection` are the same: keep one'],
    ['collection: orders', 'ingest.collection must look like'],
  ])('refuses %s', async (keys, reason) => {
    expect(await problems(`ingest: [{ kind: cdc, source: shop, ${keys} }]`, { shop })).toContain(reason)
  })

  it.each([
    ['oversize: skip', 'oversize must be fail or dead-letter'],
    ['reader: debezium', 'reader must be driver or connect'],
    ['password: env:X', 'unknown key `password`'],
  ])('with %s is refused', async (line, reason) => {
    const text = await problems('ingest: [{ kind: cdc, source: shop, table: shop.orders }]', {
      shop: `${shop}${line}\n`,
    })
    expect(text).toContain(`sources/shop.yaml:4: `)
    expect(text).toContain(reason)
  })
})

describe('a mistake', () => {
  it.each([
    [CDC.replace('shop', 'shoop'), 'streams/orders/stream.yaml:3: there is no sources/shoop.yaml; did you mean shop?'],
    [`${CDC}\nkey: /id`, 'streams/orders/stream.yaml:4: `key` of a stream of kind cdc is the source'],
    [`${CDC}\neventId: /id`, 'streams/orders/stream.yaml:4: `eventId` of a stream of kind cdc is the source'],
    ['ingest:\n  - { kind: events }\n  - { kind: cdc, source: shop, table: a.b }', 'has no other ingest'],
    ['ingest: [{ kind: cdc, source: shop }]', 'kind cdc needs `table`'],
    ['ingest: [{ kind: cdc, source: shop, table: orders }]', 'ingest.table must look like'],
    ['ingest: [{ kind: cdc, source: shop, collection: a.b }]', 'stream.yaml:3: `collection` belongs to MongoDB'],
    ['ingest: [{ kind: cdc, source: shop, table: a.b, auth: none }]', '`auth` belongs to kind events'],
    ['ingest: [{ kind: connect, source: shop }]', 'pulled from a source of kind connect; shop is postgres'],
  ])('in the contract is named with its line: %s', async (lines, reason) => {
    expect(await problems(lines)).toContain(reason)
  })

  it.each([
    [SHOP.replace('user', 'usr'), 'sources/shop.yaml:5: unknown key `usr`: did you mean `user`?'],
    [
      SHOP.replace('env:SHOP_PASSWORD', 'secret'),
      'sources/shop.yaml:6: password must look like env:NAME or file:/path',
    ],
    [SHOP.replace('name: shop', 'name: other'), "sources/shop.yaml:1: name must be the file's name, shop"],
    [SHOP.replace('postgres', 'postgresql'), 'sources/shop.yaml:2: kind must be postgres or mongodb'],
    [`${SHOP}port: 0\n`, 'sources/shop.yaml:7: port must be >= 1'],
    [`${SHOP}port: PORT\n`, 'sources/shop.yaml:7: port must look like 1 to 65535, or env:NAME'],
    ['name: shop\nkind: postgres\nhost: a\nuser: b\n', 'the source needs the key `database`'],
    ['name: shop\nkind: mongodb\nurl: mongodb://user:secret@host/\n', 'url must look like'],
    ['name: [', 'sources/shop.yaml:1: '],
  ])('in a source is named with its line: %#', async (source, reason) => {
    expect(await problems(CDC, { shop: source })).toContain(reason)
  })
})
