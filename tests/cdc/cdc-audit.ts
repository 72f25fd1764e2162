import { expect, it } from 'vitest'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { AuditReport } from '../../services/ingest-gateway/src/core/sources/source-types.ts'
import type { CdcWorld } from './cdc-world.ts'
import type { RawChange } from './raw-log.ts'

const COLUMNS = `a int, b text, primary key (a, b), n numeric(10,3), n2 numeric, d date, ts timestamp, tz timestamptz, tm time,
  f4 float4, f8 float8, by bytea, j json, jb jsonb, u uuid, bo bool, ch char(5), ip inet, big bigint, long text,
  span interval, list int[]`
const ROW = `n * 1.250, n / 7.0, date '2024-02-29' + n, timestamp '2024-01-02 03:04:05.123456' + n * interval '1.001 s',
  timestamptz '2024-01-02 03:04:05.1+02' + n * interval '1 h', time '03:04:05.00001', n / 3.0, n * 1e300 / 7, decode(md5(n::text), 'hex'),
  '{"a": 1.0}', jsonb_build_object('b', n, 'a', 'x'), md5(n::text)::uuid, n % 2 = 0, 'ab', '10.0.0.1/24', 9007199254740993 + n,
  repeat('long ', 2000), interval '1 day 02:00', array[n, 1]`

/** Things that the connector is not told of: what a silent loss looks like. */
async function unseen(world: CdcWorld, statements: readonly string[]): Promise<void> {
  await world.sql("alter publication mesh_audited set (publish = 'truncate')")
  for (const statement of statements) await world.sql(statement)
  await world.sql("alter publication mesh_audited set (publish = 'insert, update, delete, truncate')")
}

/** Read again by an incremental snapshot, or the one delete that was lost. */
const isRepair = ({ key, change }: RawChange): boolean =>
  change.source.snapshot === 'incremental' || (change.op === 'd' && key === '[9,"x\\"é9"]')

/** Lossy things done to a captured table, and what the auditor makes of them. */
export function describeAudit(of: () => CdcWorld): void {
  const audit = (repair = false): Promise<AuditReport> =>
    of().ask<AuditReport>('POST', '/v1/streams/kinds/audit', { repair })

  it('closes over every kind of value, also while rows change', async () => {
    const world = of()
    await world.sql(`create table kinds (${COLUMNS})`)
    await world.sql(`insert into kinds select n, 'x"é' || n, ${ROW} from generate_series(1, 300) n`)
    await world.sql(`insert into kinds (a, b, n2, d, ts, tz, f4, f8) values
      (0, '', 'NaN', 'infinity', '-infinity', 'infinity', 'NaN', '-Infinity'), (-1, 'nulls', null, null, null, null, null, null)`)
    world.source('audited')
    await world.stream('kinds', 'audited', 'public.kinds')
    await world.report('audited', ({ state }) => state === 'running', 'to run')
    const raw = await world.raw('kinds')
    await raw.until((records) => records.length >= 302, 'the snapshot')
    await world.sql(`update kinds set n = n + 1, f8 = f8 / 3, tz = tz + interval '1 us' where a between 1 and 50`)
    await world.sql(`delete from kinds where a = 60`)
    await world.sql(`update kinds set b = 'moved' where a = 61`)
    const busy = world.sql(`do $$ begin for i in 1..200 loop
      update kinds set n = i where a = 100; insert into kinds (a, b) values (1000 + i, 'busy'); commit; end loop; end $$`)
    const report = await audit()
    await busy
    expect(report).toMatchObject({ state: 'closed', badRanges: [], uncompared: ['list', 'span'] })
    expect(report.rows.table).toBe(report.rows.topic)
    expect((await audit()).rows).toEqual({ table: 501, topic: 501 })
  })

  it('finds what was lost in silence, names it, and reads only that again', async () => {
    await unseen(of(), [
      'update kinds set n = -1 where a in (7, 8)',
      "insert into kinds (a, b) values (2000, 'lost')",
      'delete from kinds where a = 9',
    ])
    const found = await audit()
    expect(found).toMatchObject({
      state: 'open',
      missing: { count: 1, keys: ['[2000,"lost"]'] },
      differing: { count: 2, keys: ['[7,"x\\"é7"]', '[8,"x\\"é8"]'] },
      extra: { count: 1, keys: ['[9,"x\\"é9"]'] },
    })
    expect(found.badRanges.length).toBeGreaterThan(0)

    const raw = await of().raw('kinds')
    expect((await audit(true)).repaired).toBe(4)
    const again = await raw
      .until((records) => records.filter(isRepair).length >= 4, 'the rows that were put right')
      .then((records) => records.filter(isRepair))
    expect(again.map(({ key, change }) => [key, change.op]).sort()).toEqual([
      ['[2000,"lost"]', 'r'],
      ['[7,"x\\"é7"]', 'r'],
      ['[8,"x\\"é8"]', 'r'],
      ['[9,"x\\"é9"]', 'd'],
    ])
    expect(again.find(({ change }) => change.op === 'd')?.change.before).toEqual({ a: 9, b: 'x"é9' })
    await waitFor(async () => ((await audit()).state === 'closed' ? true : null), {
      what: 'table and topic to be equal again',
      timeoutMs: 120_000,
    })
  })

  it('understands a truncate, which has no key', async () => {
    await of().sql('truncate kinds')
    await of().sql("insert into kinds (a, b) values (1, 'after')")
    expect(await audit()).toMatchObject({ state: 'closed', rows: { table: 1, topic: 1 } })
  })

  it('is refused for a stream that captures nothing', async () => {
    await expect(of().ask('POST', '/v1/streams/nobody/audit', {})).rejects.toThrow('MESH_STREAM_UNKNOWN')
  })
}
