import { cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { installSpark } from '../../packages/cli/src/stack/spark.ts'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { CACHE, differences, postFlights, ROOT, settle, startDemoMesh } from './demo-mesh.ts'
import { everyRun, putJob } from './run-job.ts'

let mesh: MeshUnderTest
let out = ''

beforeAll(async () => {
  const spark = await installSpark({
    folder: join(ROOT, 'transforms', 'spark'),
    cache: CACHE,
    env: process.env,
    onProgress: (text) => console.log(`spark ${text}`),
  })
  Object.assign(process.env, spark)
  mesh = await startDemoMesh({
    services: ['job-trigger'],
    prepare(projectDir) {
      cpSync(join(ROOT, 'transforms', 'spark'), join(projectDir, 'transforms', 'spark'), { recursive: true })
      mkdirSync(join(projectDir, 'jobs'))
      out = join(projectDir, 'spark', 'flights')
    },
  })
})
afterAll(() => mesh?.stop())

const COLUMNS = `id, "flightDate", departure::TIMESTAMP AS departure, delay, distance, origin, destination, "originCity", "originState",
  "destinationCity", "destinationState", _op, _key, _lane, _topic_id, _partition, _offset, _index, _event_id, _event_time`
const silver = (): string =>
  `SELECT ${COLUMNS} FROM read_parquet('${mesh.lakeDir}/silver/flights/v1/**/*.parquet', union_by_name = true)`
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
