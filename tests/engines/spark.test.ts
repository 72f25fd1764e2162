import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { differences, postFlights, settle } from './demo-mesh.ts'
import { everyRun, putJob } from './run-job.ts'
import { COLUMNS, silverRows, startSparkMesh } from './spark-mesh.ts'

let mesh: MeshUnderTest
let out = ''

beforeAll(async () => {
  mesh = await startSparkMesh()
  out = join(mesh.projectDir, 'spark', 'flights')
})
afterAll(() => mesh?.stop())

const silver = (): string => silverRows(mesh, COLUMNS)
const fromSpark = (folder: string): string => `SELECT ${COLUMNS} FROM read_parquet('${folder}/*/*.parquet')`

test('a batch from bronze comes to the same silver as the enricher, row by row', async () => {
  putJob(mesh, 'spark-silver', [
    'engine: spark',
    'inputs: [{ stream: flights, layer: bronze }, { stream: airports, layer: bronze }]',
    'coalesce: { quiet: 1s }',
    'retries: { attempts: 1 }',
    `spark: { app: transforms/spark/jobs/silver_flights.py, args: ['${out}'] }`,
  ])
  const startedAt = Date.now()
  const runs = await everyRun(mesh, 'spark-silver')
  console.log(`spark batch: ${runs.length} run(s) in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
  expect(await differences(fromSpark(out), silver())).toEqual({ left: 0, right: 0, rows: 2100 })
  expect(runs[0]!.result!.outputs).toEqual([{ name: `${out}/run=${runs[0]!.id}`, status: 'success' }])
})

test('what comes later is a run of its own over its own offsets; duplicates of earlier runs are known', async () => {
  const before = readdirSync(out).length
  await postFlights(mesh, 500, 2000)
  await settle(mesh)
  await everyRun(mesh, 'spark-silver')
  expect(readdirSync(out).length).toBeGreaterThan(before)
  expect(await differences(fromSpark(out), silver())).toMatchObject({ left: 0, right: 0 })
  expect(existsSync(`${out}_rejected`)).toBe(true)
})
