import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { DuckDBValue } from '@duckdb/node-api'
import { onTestFinished } from 'vitest'
import { createDuckDbFile, type DuckDbFile, type DuckDbFileOptions } from '../../src/adapters/duckdb-file.ts'

export const FILE_OPTIONS: DuckDbFileOptions = { lockWaitMs: 60_000, memoryLimit: '256MB', threads: 1 }

/** Path of a DuckDB file that goes with the test. */
export async function freshPath(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), 'warehouse-sink-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true, maxRetries: 10 }))
  return path.join(folder, 'warehouse.duckdb')
}

export async function freshFile(): Promise<DuckDbFile> {
  return createDuckDbFile(await freshPath(), FILE_OPTIONS)
}

export function rowsOf(file: DuckDbFile, sql: string): Promise<DuckDBValue[][]> {
  return file.use(async (connection) => (await connection.runAndReadAll(sql)).getRows())
}

/** As `rowsOf`, every value as DuckDB's text; null stays null. */
export async function textsOf(file: DuckDbFile, sql: string): Promise<(string | null)[][]> {
  return (await rowsOf(file, sql)).map((row) => row.map((value) => (value === null ? null : String(value))))
}
