import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { AuditReport } from '../../services/ingest-gateway/src/core/sources/source-types.ts'
import { type CdcWorld, startCdcWorld } from '../cdc/cdc-world.ts'

const COPIES = 6
const ROWS_PER_COPY = 20_000
const INSERTS = 40
const ROWS_PER_INSERT = 250
const LONG = 3000

/** Runs statements in order, each again until the server has taken it: a kill may come between its commit and its answer. */
async function persist(world: CdcWorld, statement: string, isDone: string): Promise<void> {
  await waitFor(
    async () => {
      try {
        const [done] = await world.sql<{ done: boolean }>(`select (${isDone}) as done`)
        if (done?.done) return true
        await world.sql(statement)
      } catch {
        // The server is away or has rolled back: asked again.
      }
      return null
    },
    { what: statement.slice(0, 60), timeoutMs: 120_000, everyMs: 100 },
  )
}

describe('change capture under kill -9', () => {
  let world: CdcWorld

  beforeAll(async () => {
    world = await startCdcWorld()
    await world.sql('create table load (id bigint primary key, batch text not null, note text)')
    world.source('faults')
    await world.stream('load', 'faults', 'public.load')
    await world.report('faults', ({ state }) => state === 'running', 'to run')
  }, 600_000)
  afterAll(() => world?.stop())

  async function copies(): Promise<void> {
    for (let i = 0; i < COPIES; i++) {
      const first = i * ROWS_PER_COPY + 1
      const last = first + ROWS_PER_COPY - 1
      const program = `seq -f '%.0f,copy-${i}' ${first} ${last}`.replaceAll("'", "''")
      await persist(
        world,
        `copy load (id, batch) from program '${program}' with (format csv)`,
        `exists (select from load where id = ${last})`,
      )
    }
  }

  async function inserts(): Promise<void> {
    for (let i = 0; i < INSERTS; i++) {
      const first = 1_000_000 + i * ROWS_PER_INSERT
      await persist(
        world,
        `insert into load select n, 'insert-${i}', 'x' from generate_series(${first}, ${first + ROWS_PER_INSERT - 1}) n`,
        `exists (select from load where id = ${first})`,
      )
      await persist(
        world,
        `update load set note = 'seen' where batch = 'insert-${i}'`,
        `exists (select from load where id = ${first} and note = 'seen')`,
      )
    }
  }

  /** One transaction that is open while everything else happens; a server that dies takes it along, and it begins anew. */
  async function longTransaction(): Promise<void> {
    await persist(
      world,
      `do $$ begin for i in 1..${LONG} loop insert into load values (5000000 + i, 'long', null); perform pg_sleep(0.001); end loop; end $$`,
      'exists (select from load where id = 5000001)',
    )
  }

  it('loses nothing when Connect, the database and the broker are killed in mid-COPY, and the auditor proves it', async () => {
    const raw = await world.raw('load')
    const work = Promise.all([copies(), inserts(), longTransaction()])
    await raw.until((records) => records.length > 2000, 'the load to flow', 120_000)
    expect(world.stack.kill('kafka-connect', 'SIGKILL')).toBe(true)
    const atConnect = raw.records().length
    await raw.until((records) => records.length > atConnect + 5000, 'Connect to go on', 180_000)
    expect(world.stack.kill('postgres', 'SIGKILL')).toBe(true)
    const atDatabase = raw.records().length
    await raw.until((records) => records.length > atDatabase + 5000, 'the database to go on', 180_000)
    await world.stack.restart('kafka', 'SIGKILL')
    await work

    const expected = COPIES * ROWS_PER_COPY + INSERTS * ROWS_PER_INSERT + LONG
    const [counted] = await world.sql<{ n: string }>('select count(*) n from load')
    expect(Number(counted!.n)).toBe(expected)
    let last: AuditReport | null = null
    await waitFor(
      async () => {
        last = await world.ask<AuditReport>('POST', '/v1/streams/load/audit', {}).catch(() => null)
        return last?.state === 'closed' && last.rows.topic === expected ? true : null
      },
      { what: 'the audit to close', timeoutMs: 300_000, everyMs: 1000, progress: () => JSON.stringify(last) },
    )

    // Exactly-once source support: what is read_committed holds no change twice.
    const changes = new Map<string, number>()
    for (const { key, change } of raw.records()) {
      const id = `${key} ${change.source.lsn}`
      changes.set(id, (changes.get(id) ?? 0) + 1)
    }
    const repeated = [...changes.values()].filter((count) => count > 1).length
    console.log(`[faults] ${raw.records().length} records, ${repeated} changes more than once, ${expected} rows`)
    const report = await world.report('faults', ({ state }) => state === 'running', 'to run at the end')
    expect(report.problems).toEqual([])
  })
})
