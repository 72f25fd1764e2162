import { partitionOf } from '@mesh/shared/core/partitioner'
import { textBytes } from '@mesh/shared/core/record'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderSources } from '../../packages/cli/src/commands/sources.ts'
import { describeAudit } from './cdc-audit.ts'
import { type CdcWorld, startCdcWorld } from './cdc-world.ts'

/** Broker, database, Connect and their first connector, on a busy machine. */
const START_TIMEOUT_MS = 600_000

describe('change capture from PostgreSQL', () => {
  let world: CdcWorld

  beforeAll(async () => {
    world = await startCdcWorld()
    await world.sql(`create table orders (
      id bigint primary key, total numeric(12,3), at timestamptz, note text, document jsonb)`)
    await world.sql(`create table lines (order_id bigint, line int, sku text, primary key (order_id, line))`)
    await world.sql(`create table log (what text)`)
    await world.sql(`insert into orders select n, n * 1.5, '2024-01-02 03:04:05.678901+00', repeat('x', 10)
      from generate_series(1, 200) n`)
    world.source('shop')
    await world.stream('orders', 'shop', 'public.orders')
    await world.report('shop', ({ state }) => state === 'running', 'to run')
  }, START_TIMEOUT_MS)
  afterAll(() => world?.stop())

  it('brings the rows there are and then every change, keyed and partitioned as a post would be', async () => {
    const raw = await world.raw('orders')
    await raw.until((records) => records.length >= 200, 'the snapshot of 200 rows')
    expect(raw.records().every(({ change }) => change.op === 'r')).toBe(true)

    await world.sql("insert into orders (id, total, note) values (9007199254740993, 0.100, 'new')")
    await world.sql('update orders set total = 99 where id = 1')
    await world.sql('delete from orders where id = 2')
    await world.sql('update orders set id = 1003 where id = 3')
    await raw.until((records) => records.length >= 205, 'five more records')

    const records = raw.records().slice(200)
    const found = (key: string): unknown[] =>
      records.filter((record) => record.key === key).map(({ change }) => [change.op, change.after?.['total'] ?? null])
    expect(found('9007199254740993')).toEqual([['c', '0.100']])
    expect(found('1')).toEqual([['u', '99.000']])
    expect(found('2')).toEqual([['d', null]])
    expect(found('3')).toEqual([['d', null]])
    expect(found('1003')).toEqual([['c', '4.500']])
    expect(records.find(({ key }) => key === '1003')?.oldKey).toBe('{"id":3}')
    expect(records.find(({ key }) => key === '1')?.change.after).toMatchObject({ at: '2024-01-02T03:04:05.678901Z' })
    expect(raw.records().flatMap(({ headers }) => headers.filter((h) => h.startsWith('__debezium.context')))).toEqual(
      [],
    )
    for (const { key, partition } of raw.records()) expect(partition).toBe(partitionOf(textBytes(key!), 3))
    expect(raw.folded().size).toBe(200)
  })

  it('keeps the placeholder of a long value that did not change', async () => {
    const raw = await world.raw('orders')
    await world.sql(
      `insert into orders (id, note) select 5000, string_agg(md5(n::text), '') from generate_series(1, 500) n`,
    )
    await world.sql('update orders set total = 1 where id = 5000')
    await raw.until((records) => records.filter(({ key }) => key === '5000').length >= 2, 'insert and update')
    const last = raw
      .records()
      .filter(({ key }) => key === '5000')
      .at(-1)
    expect(last?.change.after?.['note']).toBe('__debezium_unavailable_value')
    const { tables } = await world.report('shop', () => true, 'to be told')
    expect(tables[0]).toMatchObject({ table: 'public.orders', replicaIdentity: 'default' })
    expect(tables[0]?.note).toContain('REPLICA IDENTITY FULL')
  })

  it('adds a table to a running source, with the rows it has and a key of two columns', async () => {
    await world.sql(`insert into lines select n, 1, 'sku' from generate_series(1, 50) n`)
    await world.stream('lines', 'shop', 'public.lines')
    const raw = await world.raw('lines')
    await raw.until((records) => new Set(records.map(({ key }) => key)).size >= 50, 'the rows of the added table')
    expect(raw.folded().get('[7,1]')).toMatchObject({ sku: 'sku' })
    await world.sql(`update lines set sku = 'other' where order_id = 7`)
    await raw.until(() => raw.folded().get('[7,1]')?.['sku'] === 'other', 'a change of the added table')
  })

  it('refuses a table without a key by name and statement, keeps the others, and takes it once it has one', async () => {
    await world.stream('log', 'shop', 'public.log')
    const told = await world.report(
      'shop',
      ({ state, problems }) => state === 'running' && problems.length > 0,
      'to tell of the table and run on',
    )
    expect(told.state).toBe('running')
    expect(told.problems).toMatchObject([{ code: 'MESH_SOURCE_TABLE_NO_KEY' }])
    expect(renderSources([told])).toContain('ALTER TABLE "public"."log" ADD PRIMARY KEY')
    await world.sql('alter table log add column id serial primary key')
    await world.report('shop', ({ problems, state }) => problems.length === 0 && state === 'running', 'to run whole')
    await world.sql("insert into log (what) values ('seen')")
    const raw = await world.raw('log')
    await raw.until((records) => records.some(({ change }) => change.after?.['what'] === 'seen'), 'the new table')
  })

  it('reads rows again on demand, and pauses and resumes', async () => {
    const raw = await world.raw('orders')
    const before = raw.records().length
    await world.ask('POST', '/v1/sources/shop/snapshot', { table: 'public.orders' })
    const size = (await world.sql<{ n: string }>('select count(*) n from orders'))[0]!.n
    const reread = (): number =>
      raw
        .records()
        .slice(before)
        .filter(({ change }) => change.source.snapshot === 'incremental').length
    await raw.until(() => reread() >= Number(size), 'every row again')
    await world.ask('POST', '/v1/sources/shop/pause')
    await world.report('shop', ({ state }) => state === 'paused', 'to pause')
    await world.sql("insert into orders (id, note) values (7000, 'while paused')")
    await world.ask('POST', '/v1/sources/shop/resume')
    await raw.until((records) => records.some(({ key }) => key === '7000'), 'what happened in the pause')
  })

  describeAudit(() => world)

  it('does not go on after its slot was lost, and begins anew by consent', async () => {
    await world.ask('POST', '/v1/sources/shop/pause')
    await world.report('shop', ({ connector }) => connector?.state === 'PAUSED', 'to pause')
    expect(world.stack.kill('kafka-connect', 'SIGKILL')).toBe(true)
    await expect
      .poll(
        async () =>
          world
            .sql("select pg_drop_replication_slot('mesh_shop')")
            .then(() => 'dropped')
            .catch(() => 'in use'),
        { timeout: 120_000 },
      )
      .toBe('dropped')
    await world.sql("insert into orders (id, note) values (8000, 'in the hole')")
    await world.ask('POST', '/v1/sources/shop/resume')
    const told = await world.report('shop', ({ state }) => state === 'failed', 'to tell of the slot')
    expect(told.problems).toMatchObject([{ code: 'MESH_SOURCE_SLOT_LOST' }])
    expect(renderSources([told])).toContain('`mesh sources resnapshot <name> --yes`')
    // Looked at in every round, and never started: a restart would go on behind the hole.
    await world.ask('POST', '/v1/sources/shop/restart', {})
    const rounds = Date.now()
    await expect.poll(() => Date.now() - rounds > 3000, { timeout: 60_000 }).toBe(true)
    const still = await world.report('shop', ({ state }) => state === 'failed', 'to stay so')
    expect([still.problems[0]?.code, still.restarts]).toEqual(['MESH_SOURCE_SLOT_LOST', told.restarts])
    expect(await world.sql("select from pg_replication_slots where slot_name = 'mesh_shop'")).toEqual([])
    await expect(world.ask('POST', '/v1/sources/shop/resnapshot', {})).rejects.toThrow('cannot be undone')
    await world.ask('POST', '/v1/sources/shop/resnapshot', { confirm: 'shop' })
    await world.report('shop', ({ state, problems }) => state === 'running' && problems.length === 0, 'to run again')
    const raw = await world.raw('orders')
    await raw.until((records) => records.some(({ key }) => key === '8000'), 'the row of the hole')
  })

  it('says what is wrong with credentials, and does not hammer the database', async () => {
    await world.sql("create role mesh_reader login password 'correct'")
    world.source('other', 'database: postgres\nuser: mesh_reader\npassword: env:DB_PASSWORD\n')
    await world.sql('create table things (id int primary key)')
    await world.stream('things', 'other', 'public.things')
    const told = await world.report('other', ({ state }) => state === 'failed', 'to tell of rights')
    expect(told.problems).toMatchObject([{ code: 'MESH_SOURCE_RIGHTS' }])
    expect(told.problems[0]?.message).toContain('lacks REPLICATION')
    expect(told.connector).toBeNull()
  })

  it('is removed by consent: no connector, slot or publication stays', async () => {
    await world.ask('DELETE', '/v1/sources/shop', { confirm: 'shop' })
    await world.report('shop', ({ state }) => state === 'deleted', 'to be deleted')
    const left = await world.sql(
      "select slot_name from pg_replication_slots where slot_name = 'mesh_shop' union all select pubname from pg_publication where pubname = 'mesh_shop'",
    )
    expect(left).toEqual([])
  })
})
