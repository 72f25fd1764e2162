import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { expect, onTestFinished, test, vi } from 'vitest'
import { createGoldReader } from '../../src/adapters/gold-reader.ts'
import { goldFile } from '../../src/config.ts'
import { fillGold } from '../support/gold-file.ts'

// DuckDB opens files in milliseconds on a free machine.
vi.setConfig({ testTimeout: 60_000 })

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'mesh-console-gold-'))
  onTestFinished(() => rmSync(path, { recursive: true, force: true }))
  return path
}

test('gold is told as sums and weighted averages, days in order', async () => {
  const file = join(folder(), 'gold.duckdb')
  await fillGold(file, [
    "INSERT INTO daily_airport_delays VALUES ('LAX', '2001-01-02', 'Los Angeles', 'CA', 3, 1, 10.0, 40, 'r'), ('LAX', '2001-01-01', 'Los Angeles', 'CA', 1, 1, 30.0, 30, 'r'), ('JFK', '2001-01-01', NULL, NULL, 4, 0, -5.0, 0, 'r')",
    "INSERT INTO route_performance VALUES ('LAX', 'JFK', 4, 3, 12.5, 2475, '2001-01-01', '2001-01-02', 'r')",
    "INSERT INTO repository_activity VALUES ('o/r', '2024-05-01', 7, 2, 5, 1, 2, 'r')",
  ])
  const view = await createGoldReader(file, 0, () => 0)()
  expect(view).toMatchObject({
    state: 'ready',
    tables: {
      totals: [{ flights: 8, delayed: 2, delay: 5 }],
      days: [
        { day: '2001-01-01', flights: 5, delayed: 1, delay: 2 },
        { day: '2001-01-02', flights: 3, delayed: 1, delay: 10 },
      ],
      airports: [
        { name: 'JFK', flights: 4, share: 0, delay: -5 },
        { name: 'LAX Los Angeles', flights: 4, share: 0.5, delay: 15 },
      ],
      routes: [{ name: 'LAX → JFK', flights: 4, share: 0.75, delay: 12.5, distance: 2475 }],
      repositories: [{ name: 'o/r', events: 7, commits: 5, pulls: 2, issues: 1 }],
      activity: [{ day: '2024-05-01', events: 7, commits: 5 }],
    },
  })
})

test('no file, no table and an empty table are states and not errors', async () => {
  const path = folder()
  const read = (file: string | null) => createGoldReader(file, 0, () => 0)()
  expect(await read(null)).toMatchObject({ state: 'none', reason: expect.stringContaining('MESH_GOLD_URL') })
  expect(await read(join(path, 'none.duckdb'))).toMatchObject({
    state: 'none',
    reason: expect.stringContaining('No run of dbt'),
  })
  const bare = join(path, 'bare.duckdb')
  const instance = await DuckDBInstance.create(bare)
  instance.closeSync()
  expect(await read(bare)).toMatchObject({ state: 'none', reason: expect.stringContaining('no table') })
  const empty = join(path, 'empty.duckdb')
  await fillGold(empty, [])
  expect(await read(empty)).toMatchObject({ state: 'ready', tables: { totals: [], days: [], routes: [] } })
})

test('gold is opened once for all who ask at the same time, and let go for dbt', async () => {
  const file = join(folder(), 'gold.duckdb')
  await fillGold(file, [])
  let now = 0
  const read = createGoldReader(file, 1000, () => now)
  const [first, second] = [read(), read()]
  expect(second).toBe(first)
  await first
  // dbt can write now: nobody holds the file.
  await fillGold(file, ["INSERT INTO repository_activity VALUES ('o/r', '2024-05-01', 7, 2, 5, 1, 2, 'r')"])
  expect((await read()).tables!.repositories).toEqual([])
  now = 1000
  expect((await read()).tables!.repositories).toHaveLength(1)
})

test('the address of gold is a DuckDB file', () => {
  expect(goldFile('duckdb:///data/gold%20a.duckdb')).toBe('/data/gold a.duckdb')
  expect(goldFile(null)).toBeNull()
  expect(() => goldFile('snowflake://x')).toThrow('MESH_GOLD_URL is not duckdb:///absolute/file.duckdb')
})
