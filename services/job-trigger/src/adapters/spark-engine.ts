import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { Execution, JobEngine } from '../core/ports.ts'
import { createWrappedEngine } from './wrapped-engine.ts'

type SparkOptions = {
  readonly app: string
  readonly args?: readonly string[]
  readonly master?: string
  readonly conf?: Readonly<Record<string, string>>
  readonly env?: Readonly<Record<string, string>>
}

export type SparkInstallation = {
  /** SPARK_HOME: its bin/spark-submit is run. */
  readonly home: string
  /** Python of the driver and of its workers. */
  readonly python: string
  /** Files that go to `spark.jars`. */
  readonly jars: readonly string[]
  /** JAVA_HOME; null: the one of the environment. */
  readonly javaHome: string | null
}

export type SparkEngineOptions = {
  readonly stateDir: string
  readonly projectDir: string
  /** Null: there is no Spark; `missing` says why. */
  readonly spark: SparkInstallation | null
  readonly missing: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/** Small: a run of a job is minutes of two cores, not a cluster. A job's `conf` overrules any of it. */
const DEFAULTS: Readonly<Record<string, string>> = {
  'spark.driver.memory': '1g',
  'spark.log.level': 'WARN',
  'spark.driver.extraJavaOptions': '-XX:+UseSerialGC',
  'spark.sql.shuffle.partitions': '2',
  // Delta reads its own log with 50 tasks otherwise, whatever the table's size.
  'spark.databricks.delta.snapshotPartitions': '2',
  'spark.sql.session.timeZone': 'UTC',
  'spark.ui.enabled': 'false',
  'spark.ui.showConsoleProgress': 'false',
}
/** A driver that runs here listens here only. */
const LOCAL: Readonly<Record<string, string>> = {
  'spark.driver.host': '127.0.0.1',
  'spark.driver.bindAddress': '127.0.0.1',
}
const POLL_MS = 200

/**
 * Runs `spark-submit` in client mode, so the driver is a process of this machine: its exit code is the result, its group is what
 * `cancel` ends. The application's name is the execution's id. The input arrives as for a command, in the file MESH_INPUT names.
 */
export function createSparkEngine(options: SparkEngineOptions): JobEngine {
  const { stateDir, projectDir, env } = options
  return createWrappedEngine({
    stateDir,
    projectDir,
    pollMs: POLL_MS,
    commandOf(execution) {
      const { spark } = options
      if (spark === null) throw new MeshError('MESH_JOB_ENGINE_AWAY', options.missing)
      const app = join(projectDir, optionsOf(execution).app)
      if (!existsSync(app))
        throw new MeshError('MESH_JOB_ENGINE_AWAY', 'there is no such Spark program', { place: app })
      return {
        run: sparkSubmit(execution, app, spark),
        env: {
          ...env,
          ...(spark.javaHome === null ? {} : { JAVA_HOME: spark.javaHome }),
          SPARK_HOME: spark.home,
          // The executors of a cluster ask the driver for their work, so it must be reached.
          ...(isLocal(execution) ? { SPARK_LOCAL_IP: '127.0.0.1' } : {}),
          PYSPARK_PYTHON: spark.python,
          PYSPARK_DRIVER_PYTHON: spark.python,
          PYTHONDONTWRITEBYTECODE: '1',
          ...optionsOf(execution).env,
        },
      }
    },
  })
}

const optionsOf = ({ job }: Execution): SparkOptions => job.options as SparkOptions
const masterOf = (execution: Execution): string => optionsOf(execution).master ?? 'local[2]'
const isLocal = (execution: Execution): boolean => masterOf(execution).startsWith('local')

function sparkSubmit(execution: Execution, app: string, { home, jars }: SparkInstallation): string[] {
  const { args = [], conf = {} } = optionsOf(execution)
  const settings = {
    ...DEFAULTS,
    ...(isLocal(execution) ? LOCAL : {}),
    ...(jars.length > 0 ? { 'spark.jars': jars.join(',') } : {}),
    ...conf,
  }
  return [
    join(home, 'bin', 'spark-submit'),
    '--master',
    masterOf(execution),
    '--name',
    execution.id,
    ...Object.entries(settings).flatMap(([name, value]) => ['--conf', `${name}=${value}`]),
    app,
    ...args,
  ]
}
