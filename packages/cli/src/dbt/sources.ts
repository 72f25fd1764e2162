import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { dbtSourceName } from '@mesh/shared/core/topics'
import { columnsOf } from '@mesh/shared/schema/columns'
import { loadStreamFolder, type StreamFolder } from '@mesh/shared/schema/stream-folder'
import { Document } from 'yaml'

/** Where the generated sources lie, from the dbt project's folder. */
export const SOURCES_FILE: string = join('models', 'sources', 'landing.yml')

const HEAD = ' Generated from the contracts in streams/ by `mesh dbt sources`; a test compares it. Do not edit.'

/** The landing views of a project's streams as dbt sources: columns, what they mean, and how fresh they are. */
export async function renderSources(projectDir: string): Promise<string> {
  const folder = join(projectDir, 'streams')
  const entries = await readdir(folder, { withFileTypes: true })
  const names = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map((entry) => entry.name)
  const streams: StreamFolder[] = []
  for (const name of names.sort()) streams.push(await loadStreamFolder(join(folder, name)))
  return renderSourcesOf(streams)
}

export function renderSourcesOf(streams: readonly StreamFolder[]): string {
  const document = new Document({
    version: 2,
    sources: [
      {
        name: 'landing',
        description:
          'Landing views over the live version of each stream; a run reads the table of the version it is over.',
        database: "{{ 'landing' if target.type == 'duckdb' else env_var('SNOWFLAKE_LANDING_DATABASE', 'LANDING') }}",
        schema: "{{ 'main' if target.type == 'duckdb' else env_var('SNOWFLAKE_LANDING_SCHEMA', 'MAIN') }}",
        tables: streams.map(tableOf),
      },
    ],
  })
  document.commentBefore = HEAD
  return document.toString({ lineWidth: 0 })
}

function tableOf({ contract, refinedAvsc }: StreamFolder): object {
  const docs = fieldDocs(refinedAvsc)
  const { name, description, warehouse, owner } = contract
  return {
    name: dbtSourceName(name),
    identifier: warehouse.table,
    description,
    // When rows were last written, not when their events happened: the ledger of the warehouse-sink knows.
    config: {
      loaded_at_query: `select max(written_at) from {{ this.database }}.{{ this.schema }}._mesh_ledger where stream = '${name}'`,
      meta: { owner, mode: warehouse.mode },
    },
    columns: columnsOf(refinedAvsc).map((column) => ({
      name: column.name,
      ...(docs.has(column.name) ? { description: docs.get(column.name) } : {}),
      data_type:
        column.type.kind === 'decimal'
          ? `decimal(${column.type.precision},${column.type.scale})`
          : (TYPES[column.type.kind] ?? column.type.kind),
    })),
  }
}

const TYPES: Readonly<Record<string, string>> = {
  int: 'integer',
  string: 'varchar',
  bytes: 'blob',
}

function fieldDocs(avsc: string): Map<string, string> {
  const { fields } = JSON.parse(avsc) as { fields: readonly { name: string; doc?: string }[] }
  return new Map(fields.flatMap(({ name, doc }) => (doc ? [[name, doc] as const] : [])))
}
