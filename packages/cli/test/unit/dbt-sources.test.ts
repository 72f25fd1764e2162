import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { renderSources, SOURCES_FILE } from '../../src/dbt/sources.ts'

const ROOT = join(import.meta.dirname, '..', '..', '..', '..')

test('the dbt sources are what the contracts say; `mesh dbt sources` writes them', async () => {
  expect(await readFile(join(ROOT, 'transforms', 'dbt', SOURCES_FILE), 'utf8')).toBe(await renderSources(ROOT))
})

test('a source has the landing view, the typed columns and the ledger as its clock', async () => {
  const { sources } = parse(await renderSources(ROOT)) as {
    sources: {
      tables: { name: string; identifier: string; columns: object[]; config: { loaded_at_query: string } }[]
    }[]
  }
  const flights = sources[0]!.tables.find(({ name }) => name === 'flights')!
  expect(flights.identifier).toBe('FLIGHTS')
  expect(flights.config.loaded_at_query).toContain("_mesh_ledger where stream = 'flights'")
  expect(flights.columns).toContainEqual({
    name: 'delay',
    description: 'Minutes; negative = early',
    data_type: 'integer',
  })
  expect(flights.columns).toContainEqual({ name: 'flightDate', data_type: 'date' })
})
