import { fileURLToPath } from 'node:url'
import { MeshError } from '@mesh/shared/core/errors'
import { COMMON_CONFIG, type ConfigOf, LAKE_CONFIG, STATE_CONFIG } from '@mesh/shared/runtime/config'

export const ENV_PREFIX = 'MESH_JOB_TRIGGER_'

const OWN_CONFIG = {
  projectDir: {
    env: 'MESH_PROJECT_DIR',
    kind: 'string',
    doc: 'Folder with jobs/ and transforms/; commands of jobs run here.',
  },
  warehouseUrl: {
    env: 'MESH_WAREHOUSE_URL',
    kind: 'string',
    default: null,
    doc: 'Landing: duckdb:///absolute/file.duckdb.',
  },
  goldUrl: {
    env: 'MESH_GOLD_URL',
    kind: 'string',
    default: null,
    doc: 'Gold, which dbt owns: duckdb:///absolute/file.duckdb.',
  },
  dbtPython: {
    env: 'MESH_DBT_PYTHON',
    kind: 'string',
    default: null,
    doc: 'Python that has the packages of transforms/dbt/requirements.lock.txt. Absent: runs of engine dbt wait.',
  },
  dbtMissing: {
    env: 'MESH_DBT_MISSING',
    kind: 'string',
    default: 'MESH_DBT_PYTHON is not set',
    doc: 'Why there is no dbt, shown on the runs that wait for it.',
  },
  dbtMaxRss: {
    env: 'MESH_JOB_TRIGGER_DBT_MAX_RSS_MB',
    kind: 'integer',
    default: 1024,
    min: 128,
    max: 1_048_576,
    doc: 'The resident dbt process is started anew once it has grown beyond this.',
  },
  dbtMaxInvocations: {
    env: 'MESH_JOB_TRIGGER_DBT_MAX_INVOCATIONS',
    kind: 'integer',
    default: 500,
    min: 1,
    max: 1_000_000,
    doc: 'The resident dbt process is started anew after so many runs.',
  },
  sparkHome: {
    env: 'MESH_SPARK_HOME',
    kind: 'string',
    default: null,
    doc: 'Folder with bin/spark-submit. Absent: runs of engine spark wait.',
  },
  sparkPython: {
    env: 'MESH_SPARK_PYTHON',
    kind: 'string',
    default: 'python3',
    doc: "Python of Spark's driver and workers.",
  },
  sparkJars: {
    env: 'MESH_SPARK_JARS',
    kind: 'string',
    default: null,
    doc: 'Folder whose jars every Spark job gets: Kafka, Avro.',
  },
  sparkJavaHome: {
    env: 'MESH_SPARK_JAVA_HOME',
    kind: 'string',
    default: null,
    doc: 'Java 17 to 21 for Spark. Absent: JAVA_HOME.',
  },
  airflowUrl: {
    env: 'MESH_AIRFLOW_URL',
    kind: 'string',
    default: null,
    doc: 'Base URL of the Airflow API server (REST API v2). Absent: runs of engine airflow wait.',
  },
  airflowUser: {
    env: 'MESH_AIRFLOW_USER',
    kind: 'string',
    default: 'mesh',
    doc: 'Airflow user that may trigger and end runs of DAGs.',
  },
  airflowPassword: {
    env: 'MESH_AIRFLOW_PASSWORD',
    kind: 'string',
    default: 'env:AIRFLOW_PASSWORD',
    doc: 'Where its password is: env:NAME or file:/path.',
  },
  flinkUrl: {
    env: 'MESH_FLINK_URL',
    kind: 'string',
    default: null,
    doc: "REST API of Flink's JobManager. Absent: runs of engine flink wait.",
  },
  flinkGatewayUrl: {
    env: 'MESH_FLINK_GATEWAY_URL',
    kind: 'string',
    default: null,
    doc: "REST API of Flink's SQL Gateway, to which scripts are submitted.",
  },
  registryUrl: {
    env: 'MESH_REGISTRY_URL',
    kind: 'string',
    default: null,
    doc: 'Base URL of the schema registry (Confluent API): engine flink takes the columns of its inputs from it.',
  },
  checkpointInterval: {
    env: 'MESH_JOB_TRIGGER_CHECKPOINT_INTERVAL',
    kind: 'duration',
    default: 2000,
    min: 10,
    doc: 'Positions and the group offset are written at most this often.',
  },
  rescanInterval: {
    env: 'MESH_JOB_TRIGGER_RESCAN_INTERVAL',
    kind: 'duration',
    default: 2000,
    min: 50,
    doc: 'How often the jobs folder is looked at for changes.',
  },
  keepRuns: {
    env: 'MESH_JOB_TRIGGER_KEEP_RUNS',
    kind: 'integer',
    default: 200,
    min: 1,
    max: 100_000,
    doc: 'Succeeded runs of a job that mesh.runs keeps; dead ones stay.',
  },
  lineageUrl: {
    env: 'MESH_JOB_TRIGGER_LINEAGE_URL',
    kind: 'string',
    default: null,
    doc: 'OpenLineage receiver that gets every event of mesh.lineage, the whole address: http://host:5000/api/v1/lineage.',
  },
  lineageApiKey: {
    env: 'MESH_JOB_TRIGGER_LINEAGE_API_KEY',
    kind: 'string',
    default: null,
    secret: true,
    doc: 'Bearer token for the receiver.',
  },
  lineageNamespace: {
    env: 'MESH_JOB_TRIGGER_LINEAGE_NAMESPACE',
    kind: 'string',
    default: 'kappa-mesh',
    doc: 'OpenLineage namespace of the jobs of this mesh.',
  },
} as const

/** Absent: lineage names the lake's datasets without a place, and tells no columns of streams. */
const OPTIONAL_LAKE_URL = {
  lakeUrl: {
    env: 'MESH_LAKE_URL',
    kind: 'string',
    default: null,
    doc: 'Object store: file:///absolute/folder or s3://bucket/prefix.',
  },
} as const

type Settings = typeof COMMON_CONFIG &
  typeof STATE_CONFIG &
  Omit<typeof LAKE_CONFIG, 'lakeUrl'> &
  typeof OPTIONAL_LAKE_URL &
  typeof OWN_CONFIG
export const CONFIG: Settings = {
  ...COMMON_CONFIG,
  ...STATE_CONFIG,
  ...LAKE_CONFIG,
  ...OPTIONAL_LAKE_URL,
  ...OWN_CONFIG,
}

export type Config = ConfigOf<Settings>

/** What programs that jobs run inherit: their own settings and secrets are in it. */
export const ENGINE_ENVIRONMENT: NodeJS.ProcessEnv = process.env

/** Path of a `duckdb:` URL. @throws MeshError MESH_CONFIG_INVALID */
export function duckDbPath(name: string, url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : null
  if (parsed?.protocol !== 'duckdb:' || parsed.host !== '' || parsed.pathname.length < 2) {
    throw new MeshError('MESH_CONFIG_INVALID', `${name} is not duckdb:///absolute/file.duckdb`)
  }
  return fileURLToPath(`file://${parsed.pathname}`)
}

/** @throws MeshError MESH_CONFIG_INVALID */
export function lineageUrl(url: string | null): string | null {
  if (url !== null && !/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : '')) {
    throw new MeshError('MESH_CONFIG_INVALID', 'MESH_JOB_TRIGGER_LINEAGE_URL is not http://… or https://…')
  }
  return url
}
