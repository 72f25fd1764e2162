import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { KafkaAdmin } from '@mesh/shared/kafka/port'
import type { Logger } from '@mesh/shared/runtime/logger'
import { createAirflowEngine } from './adapters/airflow-engine.ts'
import { createCommandEngine } from './adapters/command-engine.ts'
import { createDbtEngine } from './adapters/dbt-engine.ts'
import { createDbtRunner } from './adapters/dbt-runner.ts'
import { createFlinkEngine } from './adapters/flink-engine.ts'
import { createFlinkSources } from './adapters/flink-sources.ts'
import { createHttpEngine } from './adapters/http-engine.ts'
import { createSparkEngine, type SparkInstallation } from './adapters/spark-engine.ts'
import { type Config, duckDbPath } from './config.ts'
import type { Engines, JobEngine } from './core/ports.ts'

const DBT = join('transforms', 'dbt')
/** Beside this code: the project may bring models of its own, the runner is the mesh's. */
const MESH_DBT = join(import.meta.dirname, '..', '..', '..', DBT)

/** Every engine that this process can run. */
export function createEngines(
  config: Config,
  { env, logger, admin }: { readonly env: NodeJS.ProcessEnv; readonly logger: Logger; readonly admin: KafkaAdmin },
): Engines {
  const { stateDir, projectDir } = config
  const python = config.dbtPython !== null && existsSync(config.dbtPython) ? config.dbtPython : null
  const missing = config.dbtPython === null || python ? config.dbtMissing : `there is no ${config.dbtPython}`
  const dbt = createDbtEngine({
    runner:
      python === null
        ? null
        : createDbtRunner({
            python,
            script: join(MESH_DBT, 'runner', 'mesh_dbt_runner.py'),
            env: { ...env, ...dbtEnvironment(config) },
            maxRssMb: config.dbtMaxRss,
            maxInvocations: config.dbtMaxInvocations,
            started: (pid) => logger.info({ pid }, 'the dbt process is up'),
          }),
    missing,
    stateDir,
    projectDir,
    targetPath: join(stateDir, 'dbt'),
  })
  void dbt.warm()
  return {
    command: createCommandEngine({ stateDir, projectDir, env }),
    http: createHttpEngine(env),
    dbt,
    airflow: createAirflowEngine({
      url: config.airflowUrl,
      user: config.airflowUser,
      password: config.airflowPassword,
      env,
    }),
    flink: flinkEngine(config, admin),
    spark: createSparkEngine({
      stateDir,
      projectDir,
      env,
      spark: sparkInstallation(config),
      missing: config.sparkHome === null ? 'MESH_SPARK_HOME is not set' : `there is no Spark in ${config.sparkHome}`,
    }),
  }
}

function flinkEngine(config: Config, admin: KafkaAdmin): JobEngine {
  const { stateDir, projectDir, registryUrl } = config
  const brokers = config.kafkaBrokers.join(',')
  return createFlinkEngine({
    url: config.flinkUrl,
    gatewayUrl: config.flinkGatewayUrl,
    stateDir,
    projectDir,
    addresses: { brokers, registry: registryUrl, lake: config.lakeUrl },
    sources: createFlinkSources({ admin, brokers, registryUrl }),
  })
}

function sparkInstallation({ sparkHome, sparkPython, sparkJars, sparkJavaHome }: Config): SparkInstallation | null {
  if (sparkHome === null || !existsSync(join(sparkHome, 'bin', 'spark-submit'))) return null
  const jars = sparkJars === null ? [] : readdirSync(sparkJars).filter((name) => name.endsWith('.jar'))
  return {
    home: sparkHome,
    python: sparkPython,
    jars: jars.toSorted().map((name) => join(sparkJars!, name)),
    javaHome: sparkJavaHome,
  }
}

function dbtEnvironment({ warehouseUrl, goldUrl }: Config): Record<string, string> {
  return {
    MESH_DBT_PLUGINS: join(MESH_DBT, 'plugins'),
    ...(warehouseUrl ? { MESH_LANDING_FILE: duckDbPath('MESH_WAREHOUSE_URL', warehouseUrl) } : {}),
    ...(goldUrl ? { MESH_GOLD_FILE: duckDbPath('MESH_GOLD_URL', goldUrl) } : {}),
  }
}
