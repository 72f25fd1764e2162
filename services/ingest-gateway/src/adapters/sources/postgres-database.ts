import type { PostgresSource } from '@mesh/shared/core/source'
import { databaseName } from '../../core/sources/connector-config.ts'
import type { SnapshotRequest, SourceDatabase } from '../../core/sources/ports.ts'
import { type PostgresClient, quoteName, quoteTable, withPostgres } from './postgres-client.ts'
import { preparePostgres } from './postgres-prepare.ts'

/**
 * Asks the connector for an incremental snapshot by a row of the signal table. With an id that was used before nothing happens, so
 * that a repeated call is one snapshot.
 */
async function signalSnapshot(
  client: PostgresClient,
  source: PostgresSource,
  id: string,
  requests: readonly SnapshotRequest[],
): Promise<void> {
  const data = {
    type: 'incremental',
    'data-collections': requests.map(({ table }) => table),
    'additional-conditions': requests.flatMap(({ table, condition }) =>
      condition === undefined ? [] : [{ 'data-collection': table, filter: condition }],
    ),
  }
  await insertSignal(client, source, id, 'execute-snapshot', JSON.stringify(data))
}

/**
 * Notes tables whose rows the first snapshot reads: written before the connector exists, so nobody reads it as a signal, and a later
 * `signalSnapshot` with the same id does nothing.
 */
async function noteTables(client: PostgresClient, source: PostgresSource, tables: readonly string[]): Promise<void> {
  for (const table of tables) await insertSignal(client, source, tableId(table), 'log', '{"message": "table added"}')
}

const tableId = (table: string): string => `table:${table}`

async function insertSignal(
  client: PostgresClient,
  source: PostgresSource,
  id: string,
  type: string,
  data: string,
): Promise<void> {
  const table = `${quoteName(source.signalSchema)}.signal`
  await client.query(`insert into ${table} (id, type, data) values ($1, $2, $3) on conflict (id) do nothing`, [
    id,
    type,
    data,
  ])
}

/** The slot, which otherwise keeps the database's log for ever, and what the mesh made; nothing of the tables themselves. */
async function dropCapture(client: PostgresClient, source: PostgresSource, everything: boolean): Promise<void> {
  const name = databaseName(source.name)
  await client.query('select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1', [
    name,
  ])
  const signals = quoteTable(`${source.signalSchema}.signal`)
  if (everything && source.publication === 'managed') {
    await client.query(`drop publication if exists ${quoteName(name)}`)
    await client.query(`drop table if exists ${signals}`)
  } else {
    // A new slot begins with the rows of all tables.
    await client.query(`delete from ${signals} where id like 'table:%'`)
  }
}

export function createPostgresDatabase(): SourceDatabase {
  return {
    prepare: (source, wanted) => withPostgres(source, (client) => preparePostgres(client, source, wanted)),
    note: (source, tables) => withPostgres(source, (client) => noteTables(client, source, tables)),
    snapshotNew: (source, tables) =>
      withPostgres(source, async (client) => {
        for (const table of tables) await signalSnapshot(client, source, tableId(table), [{ table }])
      }),
    snapshot: (source, id, requests) => withPostgres(source, (client) => signalSnapshot(client, source, id, requests)),
    drop: (source, everything) => withPostgres(source, (client) => dropCapture(client, source, everything)),
  }
}
