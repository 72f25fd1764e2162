import pg from 'pg'
import { waitFor } from '../../../packages/cli/src/wait-for.ts'
import type { CdcWorld } from '../../cdc/cdc-world.ts'
import type { RawLog } from '../../cdc/raw-log.ts'
import type { Victim } from './victims.ts'

/** What a piece of a load knows of the fault that it lives through. */
export type Round = { readonly victim: Victim; readonly killed: Promise<void>; readonly recovered: Promise<void> }

/** A way to write rows, in pieces of one transaction each. Tables are `(id bigint primary key, piece int, note text)`. */
export type Load = {
  /** Of the table, and of the stream that captures it. */
  readonly name: string
  /** Resolves when the piece is committed, with the rows it has left. `piece` counts from 0. */
  write(world: CdcWorld, piece: number, round: Round): Promise<number>
  /** Whether a fault that comes now hits a piece in its middle. */
  isInMiddle(world: CdcWorld, raw: RawLog): Promise<boolean>
}

const COPY_ROWS = 12_000
const INSERT_ROWS = 6000
const LONG_STEP = 100
/** Ids of a piece begin at its number times this. */
const PIECE = 1_000_000

/** Runs a statement again until the server has taken it: a kill may come between its commit and its answer. */
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
    { what: statement.slice(0, 60), timeoutMs: 180_000, everyMs: 100 },
  )
}

/** Some rows of the newest piece are on the topic, and others are not. */
function isHalfCaptured(raw: RawLog, rows: number): boolean {
  const records = raw.records()
  const newest = records.at(-1)?.change.after?.['piece']
  if (newest === undefined) return false
  const seen = records.filter(({ change }) => change.after?.['piece'] === newest).length
  return seen > 0 && seen < rows
}

/** A program that takes a second or two to print its rows, so that a COPY has a middle. */
const COPY: Load = {
  name: 'copied',
  async write(world, piece) {
    const first = piece * PIECE
    const slow = `{ print; if (NR % 1000 == 0) { fflush(); system("sleep 0.1") } }`
    const program = `seq -f '%.0f,${piece},copied' ${first} ${first + COPY_ROWS - 1} | awk '${slow}'`
    await persist(
      world,
      `copy copied (id, piece, note) from program '${program.replaceAll("'", "''")}' with (format csv)`,
      `exists (select from copied where id = ${first + COPY_ROWS - 1})`,
    )
    return COPY_ROWS
  },
  async isInMiddle(world, raw) {
    if (!isHalfCaptured(raw, COPY_ROWS)) return false
    const [copying] = await world.sql<{ n: string }>('select count(*) n from pg_stat_progress_copy')
    return Number(copying!.n) > 0
  },
}

/** Thousands of rows by one statement, and an update of all of them, which is another transaction. */
const INSERT: Load = {
  name: 'inserted',
  async write(world, piece) {
    const first = piece * PIECE
    const last = first + INSERT_ROWS - 1
    await persist(
      world,
      `insert into inserted select n, ${piece}, repeat('x', 100) from generate_series(${first}, ${last}) n`,
      `exists (select from inserted where id = ${last})`,
    )
    await persist(
      world,
      `update inserted set note = 'seen' where piece = ${piece}`,
      `exists (select from inserted where id = ${last} and note = 'seen')`,
    )
    return INSERT_ROWS
  },
  isInMiddle: async (_world, raw) => isHalfCaptured(raw, INSERT_ROWS),
}

const LONG_NAME = 'mesh-long-transaction'

/**
 * One transaction that is open before the fault and committed behind it: while what was killed is away, or when it is back. A database
 * that is killed takes it along, and it begins anew.
 */
const LONG: Load = {
  name: 'long',
  async write(world, piece, { victim, killed, recovered }) {
    let isOver = false
    void (victim === 'kafka-connect' ? recovered : killed).then(() => (isOver = true))
    for (;;) {
      const client = new pg.Client({
        host: '127.0.0.1',
        port: world.stack.ports['postgres']!,
        user: 'postgres',
        database: 'postgres',
        application_name: LONG_NAME,
      })
      client.on('error', () => undefined)
      try {
        await client.connect()
        await client.query('begin')
        let next = piece * PIECE
        while (!isOver || next === piece * PIECE) {
          await client.query(
            `insert into long select n, ${piece}, 'long' from generate_series($1::bigint, $2::bigint) n`,
            [next, next + LONG_STEP - 1],
          )
          next += LONG_STEP
          await client.query('select pg_sleep(0.05)')
        }
        await client.query('commit')
        return next - piece * PIECE
      } catch {
        // The database was killed, and what was not committed is gone with it.
        await killed
      } finally {
        await client.end().catch(() => undefined)
      }
    }
  },
  async isInMiddle(world) {
    const [open] = await world.sql<{ n: string }>(
      `select count(*) n from pg_stat_activity where application_name = $1 and xact_start < now() - interval '2 s'`,
      [LONG_NAME],
    )
    return Number(open!.n) > 0
  },
}

export const LOADS: readonly Load[] = [COPY, INSERT, LONG]
