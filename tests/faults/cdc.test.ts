import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { AuditReport } from '../../services/ingest-gateway/src/core/sources/source-types.ts'
import { type CdcWorld, startCdcWorld } from '../cdc/cdc-world.ts'
import type { RawLog } from '../cdc/raw-log.ts'
import { LOADS, type Load } from './cdc/loads.ts'
import { kill, recovered, VICTIMS, type Victim } from './cdc/victims.ts'

const SOURCE = 'faults'

describe('change capture under kill -9', () => {
  let world: CdcWorld

  beforeAll(async () => {
    world = await startCdcWorld()
    world.source(SOURCE)
  }, 600_000)
  afterAll(() => world?.stop())

  /** Pieces are written until one of them has been hit in its middle. @returns how many rows each has left */
  async function faulted(load: Load, first: number, victim: Victim): Promise<number[]> {
    const killed = Promise.withResolvers<void>()
    const back = Promise.withResolvers<void>()
    let isKilled = false
    // A log of its own: one that was open while the broker died is not read to its end.
    const raw = await world.raw(load.name)
    const working = (async () => {
      const rows: number[] = []
      do {
        const piece = first + rows.length
        rows.push(await load.write(world, piece, { victim, killed: killed.promise, recovered: back.promise }))
        // What is written is at most a piece ahead of what is captured: else the last audit waits for a backlog, not for a fault.
        const isBehind = (): boolean => Number(raw.records().at(-1)?.change.after?.['piece'] ?? -1) < piece - 1
        while (!isKilled && isBehind()) await new Promise((resolve) => setTimeout(resolve, 20))
      } while (!isKilled)
      return rows
    })()
    await waitFor(async () => ((await load.isInMiddle(world, raw)) ? true : null), {
      what: `a piece of ${load.name} in its middle`,
      timeoutMs: 180_000,
      everyMs: 20,
    })
    await kill(world, victim)
    isKilled = true
    killed.resolve()
    await raw.stop()
    await recovered(world, SOURCE)
    back.resolve()
    return working
  }

  async function audited(stream: string, rows: number): Promise<void> {
    let last: AuditReport | null = null
    await waitFor(
      async () => {
        last = await world.ask<AuditReport>('POST', `/v1/streams/${stream}/audit`, {}).catch(() => null)
        return last?.state === 'closed' && last.rows.topic === rows && last.rows.table === rows ? true : null
      },
      {
        what: `the audit of ${stream} to close over ${rows} rows`,
        timeoutMs: 300_000,
        everyMs: 1000,
        progress: () => JSON.stringify(last),
      },
    )
  }

  /** Every key once in its last state; how often a change came again. */
  async function counted(stream: string, rows: number): Promise<{ records: number; repeated: number }> {
    const raw: RawLog = await world.raw(stream)
    await raw.until(() => raw.folded().size >= rows, 'every row on the topic', 120_000)
    const changes = new Map<string, number>()
    for (const { key, change } of raw.records()) {
      const id = `${key} ${change.source.lsn}`
      changes.set(id, (changes.get(id) ?? 0) + 1)
    }
    const counts = { records: raw.records().length, repeated: [...changes.values()].filter((n) => n > 1).length }
    expect(raw.folded().size).toBe(rows)
    await raw.stop()
    return counts
  }

  it.each(LOADS.map((load) => ({ what: load.name, load })))(
    'loses nothing of what is $what when Connect, the database, the gateway and the broker are killed in its middle, and the auditor proves it',
    async ({ load }) => {
      await world.sql(`create table ${load.name} (id bigint primary key, piece int not null, note text)`)
      await world.stream(load.name, SOURCE, `public.${load.name}`)
      const isCaptured = ({ state, tables }: { state: string; tables: readonly { stream: string }[] }): boolean =>
        state === 'running' && tables.some(({ stream }) => stream === load.name)
      await world.report(SOURCE, isCaptured, `to capture ${load.name}`)
      const rows: number[] = []
      for (const victim of VICTIMS) {
        const begun = performance.now()
        rows.push(...(await faulted(load, rows.length, victim)))
        console.log(`[faults] ${load.name}: ${victim} killed and back in ${Math.round(performance.now() - begun)} ms`)
      }
      const expected = rows.reduce((sum, n) => sum + n, 0)
      const [table] = await world.sql<{ n: string }>(`select count(*) n from ${load.name}`)
      expect(Number(table!.n)).toBe(expected)
      await audited(load.name, expected)
      const { records, repeated } = await counted(load.name, expected)
      console.log(`[faults] ${load.name}: ${expected} rows, ${records} records, ${repeated} changes more than once`)
      const report = await world.report(SOURCE, ({ state }) => state === 'running', 'to run at the end')
      expect(report.problems).toEqual([])
    },
  )
})
