import type { ConnectSource, MongodbSource, PostgresSource } from '@mesh/shared/core/source'
import { describe, expect, it } from 'vitest'
import {
  connectorName,
  connectText,
  databaseName,
  mongodbConfig,
  postgresConfig,
  rawConnectorConfig,
} from '../../../../src/core/sources/connector-config.ts'
import type { SourceUse } from '../../../../src/core/sources/source-types.ts'

const SHOP: PostgresSource = {
  name: 'shop-eu',
  description: '',
  owner: '',
  kind: 'postgres',
  host: 'env:SHOP_HOST',
  port: '5432',
  database: 'shop',
  user: 'mesh',
  password: 'file:/run/secrets/shop',
  ssl: 'prefer',
  publication: 'managed',
  signalSchema: 'mesh',
  snapshot: 'initial',
  heartbeatMs: 10_000,
}
const cdc = (stream: string, table: string): SourceUse => ({
  stream,
  rawTopic: `raw.${stream}.v1`,
  ingest: { kind: 'cdc', source: 'shop-eu', table },
})

describe('the PostgreSQL connector of a source', () => {
  const config = postgresConfig(SHOP, [cdc('orders', 'public.orders'), cdc('lines', 'public.Order$Lines')])

  it('checks the certificate against the file that is named, else against the public authorities, and only where it is to', () => {
    const of = (changes: Partial<PostgresSource>): Readonly<Record<string, string>> =>
      Object.fromEntries(
        Object.entries(postgresConfig({ ...SHOP, ...changes }, [])).filter(([key]) =>
          /sslrootcert|sslfactory/.test(key),
        ),
      )
    expect(of({ ssl: 'verify-full', ca: 'file:/etc/ssl/db.pem' })).toEqual({
      'database.sslrootcert': '/etc/ssl/db.pem',
    })
    expect(of({ ssl: 'verify-ca' })).toEqual({ 'database.sslfactory': 'org.postgresql.ssl.DefaultJavaSSLFactory' })
    expect(of({ ssl: 'require', ca: 'file:/etc/ssl/db.pem' })).toEqual({})
  })

  it('names the files of a certificate, and none where the source has none', () => {
    const of = (changes: Partial<PostgresSource>): string[] =>
      Object.entries(postgresConfig({ ...SHOP, ...changes }, [])).flatMap(([key, value]) =>
        /sslcert|sslkey/.test(key) ? [`${key}=${value}`] : [],
      )
    expect(of({ ssl: 'require', cert: 'file:/etc/c.pem', key: 'file:/run/k.pem' })).toEqual([
      'database.sslcert=/etc/c.pem',
      'database.sslkey=/run/k.pem',
    ])
    expect(of({ ssl: 'require' })).toEqual([])
  })

  it('has a slot and a publication of its own, which the mesh makes', () => {
    expect([connectorName(SHOP.name), databaseName(SHOP.name)]).toEqual(['mesh-shop-eu', 'mesh_shop_eu'])
    expect(config).toMatchObject({
      'slot.name': 'mesh_shop_eu',
      'publication.name': 'mesh_shop_eu',
      'publication.autocreate.mode': 'disabled',
      'plugin.name': 'pgoutput',
      'offset.mismatch.strategy': 'trust_offset',
      'exactly.once.support': 'required',
      'tombstones.on.delete': 'false',
      'provide.transaction.metadata': 'false',
    })
  })

  it('holds no secret, only references that the worker reads', () => {
    expect(config['database.hostname']).toBe('${env:SHOP_HOST}')
    expect(config['database.password']).toBe('${dir:/run/secrets:shop}')
    expect(connectText('file:/secret')).toBe('${dir:/:secret}')
  })

  it('sends each table to its stream, by patterns that match only its name', () => {
    expect(config['table.include.list']).toBe('public\\.orders,public\\.Order\\$Lines')
    const routes = Object.entries(config).flatMap(([key, value]) => {
      const name = /^transforms\.(\w+)\.regex$/.exec(key)?.[1]
      return name === undefined
        ? []
        : [[new RegExp(`^(?:${value})$`), config[`transforms.${name}.replacement`]] as const]
    })
    const routed = (topic: string): (string | undefined)[] =>
      routes.filter(([pattern]) => pattern.test(topic)).map(([, to]) => to)
    expect(routed('shop-eu.public.orders')).toEqual(['raw.orders.v1'])
    expect(routed('shop-eu.public.Order$Lines')).toEqual(['raw.lines.v1'])
    expect(routed('shop-eu.public-orders')).toEqual([])
    expect(routed('shop-eu.message')).toEqual(['mesh.markers.shop-eu'])
  })
})

describe('the MongoDB connector of a source', () => {
  const source: MongodbSource = {
    name: 'crm',
    description: '',
    owner: '',
    kind: 'mongodb',
    url: 'env:CRM_URL',
    reader: 'connect',
  }
  const use: SourceUse = {
    stream: 'people',
    rawTopic: 'raw.people.v1',
    ingest: { kind: 'cdc', source: 'crm', table: 'crm.people.eu' },
  }

  it('sends each collection to its stream, with the _id as text as key, in transactions', () => {
    expect(mongodbConfig(source, [use])).toMatchObject({
      'mongodb.connection.string': '${env:CRM_URL}',
      'collection.include.list': 'crm\\.people\\.eu',
      'capture.mode': 'change_streams_update_full',
      'capture.mode.full.update.type': 'lookup',
      'cursor.oversize.handling.mode': 'fail',
      'snapshot.mode': 'initial',
      'heartbeat.interval.ms': '10000',
      'exactly.once.support': 'required',
      'transforms.key.document.id': 'true',
      'transforms.table0.regex': 'crm\\.crm\\.people\\.eu',
      'transforms.table0.replacement': 'raw.people.v1',
    })
  })

  it('follows what the source says of snapshot, updates and heartbeat', () => {
    const own = { ...source, snapshot: 'none', updates: 'post-image', heartbeatMs: 500 } as const
    expect(mongodbConfig(own, [use])).toMatchObject({
      'snapshot.mode': 'no_data',
      'capture.mode.full.update.type': 'post_image',
      'heartbeat.interval.ms': '500',
    })
  })
})

describe('any other connector', () => {
  const source: ConnectSource = {
    name: 'files',
    description: '',
    owner: '',
    kind: 'connect',
    config: {
      'connector.class': 'org.example.Files',
      'api.key': 'env:FILES_KEY',
      transforms: 'mask',
      'transforms.mask.type': 'org.example.Mask',
      'value.converter.schemas.enable': 'true',
    },
  }
  const use = (stream: string, topic: string | null): SourceUse => ({
    stream,
    rawTopic: `raw.${stream}.v1`,
    ingest: { kind: 'connect', source: 'files', topic },
  })

  it('keeps its own settings and transforms, and is led into the raw topics behind them', () => {
    const config = rawConnectorConfig(source, [use('a', 'files.a'), use('b', 'files.b')])
    expect(config).toMatchObject({
      'connector.class': 'org.example.Files',
      'api.key': '${env:FILES_KEY}',
      'value.converter.schemas.enable': 'true',
      transforms: 'mask,meshKey,mesh0,mesh1',
      'transforms.mesh0.regex': 'files\\.a',
      'transforms.mesh1.replacement': 'raw.b.v1',
    })
  })

  it('may send all that it writes to one stream', () => {
    expect(rawConnectorConfig(source, [use('all', null)])['transforms.mesh0.regex']).toBe('.*')
  })
})
