import type { Contract, Ingest } from '@mesh/shared/core/contract'
import type { Source } from '@mesh/shared/core/source'
import { describe, expect, it } from 'vitest'
import type { IngestStream } from '../../../../src/core/ports.ts'
import { desiredSources, streamsOf, tablesOf } from '../../../../src/core/sources/desired-sources.ts'

const shop = (host: string): Source => ({
  name: 'shop',
  description: '',
  owner: '',
  kind: 'postgres',
  host,
  port: '5432',
  database: 'shop',
  user: 'mesh',
  password: null,
  ssl: 'prefer',
  publication: 'managed',
  signalSchema: 'mesh',
  snapshot: 'initial',
  heartbeatMs: 1000,
})

function stream(name: string, ingest: readonly Ingest[], sources: Readonly<Record<string, Source>> = {}): IngestStream {
  const contract = { name, ingest } as Contract
  return {
    contract,
    bundleHash: name,
    rawTopic: `raw.${name}.v1`,
    partitions: 3,
    rawSchema: null,
    sources,
    check: null,
  }
}
const cdc = (table: string): Ingest => ({ kind: 'cdc', source: 'shop', table })

describe('what the live bundles ask for', () => {
  it('is one source for all streams that share it; what is posted asks for none', () => {
    const asked = desiredSources([
      stream('orders', [cdc('public.orders')], { shop: shop('a') }),
      stream('posted', [{ kind: 'events', auth: 'none' }]),
      stream('lines', [cdc('public.lines')], { shop: shop('a') }),
    ])
    expect(asked.map(({ source, problems }) => [source.name, problems])).toEqual([['shop', []]])
    expect(tablesOf(asked[0]!.uses)).toEqual([
      { table: 'public.orders', stream: 'orders', rawTopic: 'raw.orders.v1' },
      { table: 'public.lines', stream: 'lines', rawTopic: 'raw.lines.v1' },
    ])
  })

  it('names a stream once that takes several things from a source', () => {
    const [asked] = desiredSources([
      stream('orders', [cdc('public.orders'), cdc('public.returns')], { shop: shop('a') }),
      stream('lines', [cdc('public.lines')], { shop: shop('a') }),
    ])
    expect(streamsOf(asked!.uses)).toEqual(['orders', 'lines'])
  })

  it('is a problem where two streams were applied with different definitions', () => {
    const [asked] = desiredSources([
      stream('orders', [cdc('public.orders')], { shop: shop('a') }),
      stream('lines', [cdc('public.lines')], { shop: shop('b') }),
    ])
    expect(asked?.problems.map(({ code }) => code)).toEqual(['MESH_SOURCE_CONFLICT'])
  })

  it('is a problem where two streams capture one table: a connector sends it to one topic', () => {
    const [asked] = desiredSources([
      stream('orders', [cdc('public.orders')], { shop: shop('a') }),
      stream('again', [cdc('public.orders')], { shop: shop('a') }),
    ])
    expect(asked?.problems.map(({ code, message }) => [code, message])).toEqual([
      ['MESH_SOURCE_TABLE_TAKEN', 'public.orders of source shop is taken by stream orders and by stream again'],
    ])
  })
})
