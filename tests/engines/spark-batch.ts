import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { queryFiles } from '@mesh/shared/warehouse/duckdb-reader'
import { describe, expect, test } from 'vitest'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { DEAD, deadLetters } from './bad-flights.ts'
import { differences } from './demo-mesh.ts'
import { dropJob, everyRun, putJob } from './run-job.ts'
import type { SparkCluster } from './spark-cluster.ts'
import { COLUMNS, silverRows, sparkJob } from './spark-world.ts'

const JOB = 'spark-silver'
const outOf = (mesh: MeshUnderTest): string => join(mesh.projectDir, 'spark', 'flights')
const fromSpark = (mesh: MeshUnderTest): string =>
  `SELECT ${COLUMNS} FROM read_parquet('${outOf(mesh)}/run=*/*.parquet')`

/** In the driver, or on a cluster. */
export function putBatch(mesh: MeshUnderTest, master?: string): void {
  putJob(mesh, JOB, [
    'inputs: [{ stream: flights, layer: bronze }, { stream: airports, layer: bronze }]',
    ...sparkJob('killed_silver.py', [outOf(mesh)], {
      env: { KILLED: join(mesh.projectDir, 'batch-was-killed') },
      master,
    }),
  ])
}

export const dropBatch = (mesh: MeshUnderTest): Promise<void> => dropJob(mesh, JOB)

/** `transforms/spark/jobs/silver_flights.py` over bronze, beside the mesh's own silver and dead letters. */
export function describeBatch(mesh: () => MeshUnderTest): void {
  describe('a batch from bronze', () => {
    test('comes to the same silver as the enricher, row by row, though it is killed when it has written, and run again', async () => {
      const [run, ...more] = await everyRun(mesh(), JOB)
      expect(more).toEqual([])
      expect(run).toMatchObject({ attempt: 2, attempts: [{ error: { code: 'MESH_JOB_FAILED' } }, { error: null }] })
      expect(readdirSync(outOf(mesh()))).toEqual([`run=${run!.id}`])
      expect(await differences(fromSpark(mesh()), silverRows(mesh(), COLUMNS))).toEqual({
        left: 0,
        right: 0,
        rows: 2101,
      })
    })

    test('sets aside the records that the enricher dead-letters, under its codes, and its run says how many', async () => {
      const dead = await deadLetters(mesh())
      expect(new Set(dead.map((each) => each.split(' ')[1]))).toEqual(
        new Set(['FLIGHT_DATE', 'MESH_DECODE_JSON', 'MESH_REFINE_INVALID']),
      )
      const { rows } = await queryFiles(
        `SELECT format('{}/{} {}', partition, "offset", reason) AS place FROM read_parquet('${outOf(mesh())}_rejected/*/*.parquet')`,
      )
      expect(rows.map(({ place }) => String(place)).sort()).toEqual(dead)
      const [run] = await everyRun(mesh(), JOB)
      expect(run!.result!.outputs).toEqual([
        { name: `${outOf(mesh())}/run=${run!.id}`, status: 'success' },
        {
          name: `${outOf(mesh())}_rejected/run=${run!.id}`,
          // Those of bad-flights.ts, and the flight with a bad date that the demonstration has.
          status: `${DEAD + 1} rejected: FLIGHT_DATE 3, MESH_DECODE_JSON 1, MESH_REFINE_INVALID 5`,
        },
      ])
    })
  })
}

/** What came later is a run of its own over its own offsets, on the cluster; duplicates of earlier runs are known. */
export async function expectLaterBatch(mesh: MeshUnderTest, cluster: SparkCluster): Promise<void> {
  const runs = await everyRun(mesh, JOB)
  expect(runs).toHaveLength(2)
  expect(readdirSync(outOf(mesh)).sort()).toEqual(runs.map(({ id }) => `run=${id}`).sort())
  expect(await differences(fromSpark(mesh), silverRows(mesh, COLUMNS))).toMatchObject({ left: 0, right: 0 })
  const newest = runs.toSorted((a, b) => a.seq - b.seq).at(-1)!
  // The master hears of the driver's end by itself; an application has the name of the attempt.
  await expect
    .poll(() => cluster.finished(), { timeout: 60_000 })
    .toMatchObject([{ name: `${newest.id}.1`, state: 'FINISHED' }])
}
