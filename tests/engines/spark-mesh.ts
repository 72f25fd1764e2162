import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { installSpark } from '../../packages/cli/src/stack/spark.ts'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { CACHE, ROOT, startDemoMesh } from './demo-mesh.ts'

/** A demo mesh whose job-trigger has Spark and its programs. */
export async function startSparkMesh(): Promise<MeshUnderTest> {
  const spark = await installSpark({
    folder: join(ROOT, 'transforms', 'spark'),
    cache: CACHE,
    env: process.env,
    onProgress: (text) => console.log(`spark ${text}`),
  })
  Object.assign(process.env, spark)
  return startDemoMesh({
    services: ['job-trigger'],
    prepare(projectDir) {
      cpSync(join(ROOT, 'transforms', 'spark'), join(projectDir, 'transforms', 'spark'), { recursive: true })
      mkdirSync(join(projectDir, 'jobs'))
    },
  })
}

/** Columns that Spark's rows and the mesh's silver have alike. */
export const COLUMNS = `id, "flightDate", departure::TIMESTAMP AS departure, delay, distance, origin, destination, "originCity", "originState",
  "destinationCity", "destinationState", _op, _key, _lane, _topic_id, _partition, _offset, _index, _event_id, _event_time`

export const silverRows = (mesh: MeshUnderTest, columns: string): string =>
  `SELECT ${columns} FROM read_parquet('${mesh.lakeDir}/silver/flights/v1/**/*.parquet', union_by_name = true)`
