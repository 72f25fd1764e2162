import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { versionTable } from '@mesh/shared/core/topics'
import { columnsOf } from '@mesh/shared/schema/columns'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { RowRange, StreamInput } from '../../services/job-trigger/src/core/run-input.ts'
import { createTable, SYSTEM_TABLES, viewDefinition } from '../../services/warehouse-sink/src/adapters/duckdb-sql.ts'
import { landingTable } from '../../services/warehouse-sink/src/core/landing-table.ts'

const ROOT = join(import.meta.dirname, '..', '..')
export const TOPIC_ID = 'raw-topic'

export type LandingFile = {
  /** Appends rows of one raw partition, at the offsets that follow; returns the next offset. */
  append(stream: string, rows: readonly LandingRow[]): Promise<number>
}

/** Values by column; `null` is a delete. */
export type LandingRow = { readonly key: string; readonly values: Readonly<Record<string, unknown>> | null }

/** A landing file as the warehouse-sink makes it: its own tables, views and columns, for streams of this project. */
export async function createLandingFile(
  file: string,
  streams: Readonly<Record<string, 'append' | 'upsert'>>,
): Promise<LandingFile> {
  const tableOf = (stream: string) => {
    const avsc = readFileSync(join(ROOT, 'streams', stream, 'refined.avsc'), 'utf8')
    return landingTable(stream, 1, stream.toUpperCase(), columnsOf(avsc))
  }
  await withFile(file, async (run) => {
    for (const sql of SYSTEM_TABLES) await run(sql)
    for (const [stream, mode] of Object.entries(streams)) {
      const table = tableOf(stream)
      await run(createTable(table))
      await run(`CREATE VIEW "${table.view}" AS ${viewDefinition({ table, mode, epoch: 0 })}`)
    }
  })
  const next = new Map<string, number>()
  return {
    async append(stream, rows) {
      let offset = next.get(stream) ?? 0
      await withFile(file, async (run) => {
        for (const { key, values } of rows) {
          const own = {
            ...values,
            _op: values === null ? 'delete' : 'upsert',
            _key: key,
            _lane: 'main',
            _topic_id: TOPIC_ID,
            _partition: 0,
            _offset: offset++,
            _index: 0,
            _event_id: `${stream}-${offset}`,
            _event_time: '2024-05-01 12:00:00+00',
            _hash: 'h',
            _version: 1,
          }
          const names = Object.keys(own).map((name) => `"${name}"`)
          const cells = Object.values(own).map((value) => (typeof value === 'number' ? value : `'${String(value)}'`))
          await run(
            `INSERT INTO ${versionTable(stream.toUpperCase(), 1)} (${names.join(', ')}) VALUES (${cells.join(', ')})`,
          )
        }
      })
      next.set(stream, offset)
      return offset
    },
  }
}

/** The rows at offsets [from, to), of all up to `to`. */
export function over(from: number, to: number, readable: number = to): StreamInput {
  const rows = (after: number, upto: number): RowRange[] =>
    upto <= after
      ? []
      : [
          {
            lane: 'main',
            topicId: TOPIC_ID,
            partition: 0,
            afterOffset: after - 1,
            afterIndex: 0,
            uptoOffset: upto - 1,
            uptoIndex: 0,
          },
        ]
  return { version: 1, rows: rows(from, to), asOf: rows(0, readable) }
}

/** Opens, works, closes, as every opener of a DuckDB file does. */
export async function withFile<T>(
  file: string,
  work: (run: (sql: string) => Promise<unknown>) => Promise<T>,
): Promise<T> {
  const instance = await waitFor(
    () =>
      DuckDBInstance.create(file).catch((error: unknown) => {
        if (String(error).includes('Could not set lock')) return null
        throw error
      }),
    { what: `${file} to be free`, timeoutMs: 180_000, everyMs: 20 },
  )
  const connection = await instance.connect()
  try {
    return await work((sql) => connection.run(sql))
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}
