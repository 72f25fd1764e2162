import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { installSpark } from '../../packages/cli/src/stack/spark.ts'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { CACHE, ROOT, startDemoMesh } from './demo-mesh.ts'

const JOBS = join('transforms', 'spark', 'jobs')

/** A demo mesh whose job-trigger has Spark and its programs, and programs of the tests that are killed once. */
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
      cpSync(join(ROOT, JOBS), join(projectDir, JOBS), { recursive: true })
      cpSync(join(import.meta.dirname, 'spark-apps'), join(projectDir, JOBS), { recursive: true })
      mkdirSync(join(projectDir, 'jobs'))
    },
  })
}

/** A driver that lives for a minute is not worth the second compiler's work. */
const CONF = { 'spark.driver.extraJavaOptions': '-XX:+UseSerialGC -XX:TieredStopAtLevel=1' }

/** A driver whose executors are on the same machine; by itself it takes the address that the machine's name has. */
const HERE = {
  'spark.driver.host': '127.0.0.1',
  'spark.driver.bindAddress': '127.0.0.1',
  'spark.executor.memory': '1g',
}

/** Lines of a job file. Everything that is there, or comes within moments, is one run. */
export const sparkJob = (
  app: string,
  args: readonly string[],
  { env, master }: { readonly env: Readonly<Record<string, string>>; readonly master?: string | undefined },
): string[] => [
  'engine: spark',
  'coalesce: { quiet: 3s, maxWait: 60s }',
  'retries: { attempts: 2, backoff: 100ms }',
  `spark: ${JSON.stringify({
    app: `transforms/spark/jobs/${app}`,
    args,
    env,
    master,
    conf: { ...CONF, ...(master === undefined ? {} : HERE) },
  })}`,
]

/** Columns that Spark's rows and the mesh's silver have alike. */
export const COLUMNS = `id, "flightDate", departure::TIMESTAMP AS departure, delay, distance, origin, destination, "originCity", "originState",
  "destinationCity", "destinationState", _op, _key, _lane, _topic_id, _partition, _offset, _index, _event_id, _event_time`

export const silverRows = (mesh: MeshUnderTest, columns: string): string =>
  `SELECT ${columns} FROM read_parquet('${mesh.lakeDir}/silver/flights/v1/**/*.parquet', union_by_name = true)`
