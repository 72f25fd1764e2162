import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { deltaFiles } from './delta-files.ts'
import { differences, settle } from './demo-mesh.ts'
import { everyRun, putJob } from './run-job.ts'
import { COLUMNS, silverRows, startSparkMesh } from './spark-world.ts'

const TOPIC = 'refined.flights.v1'
const AGAIN = 20
let mesh: MeshUnderTest
let out = ''

beforeAll(async () => {
  mesh = await startSparkMesh()
  out = join(mesh.projectDir, 'delta', 'flights')
})
afterAll(() => mesh?.stop())

const WITH_SCHEMA = `${COLUMNS}, _schema_id`
const silver = (): string => silverRows(mesh, WITH_SCHEMA)
const tableOf = (name: string): string => {
  const files = deltaFiles(`${out}/v1/${name}`).map((file) => `'${file}'`)
  return `read_parquet([${files.join(', ')}], union_by_name = true)`
}
const fromDelta = (): string => `SELECT ${WITH_SCHEMA} FROM ${tableOf('rows')}`

/** What a crash of an at-least-once enricher leaves: records once more, at new offsets, under the same mesh-src. */
async function writeAgain(): Promise<number> {
  const offsets = await mesh.kafka.admin.offsets(TOPIC)
  const ranges = offsets.map(({ partition, logStartOffset: from, highWatermark: to }) => ({ partition, from, to }))
  const producer = await mesh.kafka.producer()
  let written = 0
  const copies = new Map<number, Parameters<typeof producer.send>[1][number][]>()
  await mesh.kafka.readRanges(TOPIC, ranges, ({ partition, records }) => {
    const own = copies.get(partition) ?? []
    const more = records.slice(0, AGAIN - own.length)
    copies.set(partition, [...own, ...more.map((record) => ({ ...record, partition }))])
  })
  for (const records of copies.values()) written += (await producer.send(TOPIC, records)).length
  await producer.close()
  return written
}

test('a refined topic becomes a Delta table: the rows of silver, each once, in several micro-batches', async () => {
  expect(await writeAgain()).toBeGreaterThan(AGAIN)
  await settle(mesh)
  putJob(mesh, 'spark-delta', [
    'engine: spark',
    'inputs: [{ stream: flights, layer: refined }, { stream: flights, layer: landing }]',
    'coalesce: { quiet: 1s }',
    'retries: { attempts: 1 }',
    `spark: { app: transforms/spark/jobs/refined_delta.py, args: [flights, '${out}'], env: { MESH_SPARK_RECORDS_A_BATCH: '1500' } }`,
  ])
  const startedAt = Date.now()
  const runs = await everyRun(mesh, 'spark-delta')
  console.log(`spark stream: ${runs.length} run(s) in ${((Date.now() - startedAt) / 1000).toFixed(1)} s`)
  expect(await differences(fromDelta(), silver())).toEqual({ left: 0, right: 0, rows: 2100 })
  expect(runs[0]!.result!.outputs).toEqual([{ name: `${out}/v1/rows`, status: 'success' }])
  expect(deltaFiles(`${out}/v1/rejected`)).toEqual([])
})
