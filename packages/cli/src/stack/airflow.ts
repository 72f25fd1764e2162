import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { MeshError } from '@mesh/shared/core/errors'
import { HOST } from './ports.ts'
import { type ChildSpec, type Environment, type ManagedChild, startChild, stopMarked } from './process.ts'
import { endSession } from './process-session.ts'
import { type EngineRequest, installPythonEngine } from './python-engine.ts'
import { readMark } from './state.ts'

export type AirflowOptions = {
  /** Python that has transforms/airflow/requirements.lock.txt. */
  readonly python: string
  /** Database, logs and password file. */
  readonly home: string
  readonly dags: string
  readonly port: number
  readonly user: string
  readonly password: string
  /** What tasks see: the mesh's addresses, MESH_CLI, MESH_PROJECT_DIR. */
  readonly env: Environment
  readonly signal?: AbortSignal
}

export type Airflow = {
  readonly url: string
  /** The folder with a log per part. */
  readonly logs: string
  /** Resolves when one of its parts is gone, whoever ended it. */
  readonly exited: Promise<unknown>
  stop(): Promise<void>
}

const READY_TIMEOUT_MS = 600_000
const HEALTH_INTERVAL_MS = 500
/** Its parts take long to end by themselves, and their work is in the database: what is left then is killed. */
const STOP_TIMEOUT_MS = 5_000

/** The Python that has Airflow, from the cache or installed. */
export function installAirflow(request: Omit<EngineRequest, 'name' | 'oldest'>): Promise<string> {
  return installPythonEngine({ ...request, name: 'airflow', oldest: [3, 11] })
}

/**
 * Airflow on this machine, on the loopback address: API server, scheduler with its own executor, DAG processor, SQLite. For
 * development and tests. Its parts are those of `airflow standalone`, less the log servers of that, which listen on every address
 * and fixed ports, and less the triggerer, which nothing here needs. Resolves when database, scheduler and DAG processor are healthy.
 */
export async function startAirflow(options: AirflowOptions): Promise<Airflow> {
  const url = `http://${HOST}:${options.port}`
  mkdirSync(options.home, { recursive: true })
  // Airflow takes passwords that are there, and invents those that are not.
  const passwords = join(options.home, 'passwords.json')
  writeFileSync(passwords, JSON.stringify({ [options.user]: options.password }), { mode: 0o600 })
  const env = { ...options.env, ...airflowSettings({ ...options, url, passwords }) }
  const parts: ManagedChild[] = []
  const stop = async (): Promise<void> => void (await Promise.all(parts.map((part) => part.stop())))
  async function start(name: PartName): Promise<void> {
    parts.push(await startChild(partSpec(name, { ...options, env, url }), options.signal))
  }
  try {
    await migrate({ ...options, env })
    const started = await Promise.allSettled([start('api-server'), start('dag-processor')])
    const failed = started.find((each) => each.status === 'rejected')
    if (failed) throw failed.reason
    // A task that it begins asks the API server at once.
    await start('scheduler')
  } catch (error) {
    await stop()
    throw error
  }
  return { url, logs: options.home, exited: Promise.race(parts.map((part) => part.exited)), stop }
}

/** Ends what a killed starter left behind, its tasks too. @returns whether there was anything */
export async function stopLeftAirflow(home: string): Promise<boolean> {
  const marks = PARTS.flatMap((name) => readMark(join(home, `${name}.pid.json`)) ?? [])
  const stopped = await Promise.all(
    marks.map(async (mark) => {
      // Only of a part that lives: the session of a dead one may be another program's by now.
      if (!(await stopMarked(mark, STOP_TIMEOUT_MS))) return false
      await endSession(mark)
      return true
    }),
  )
  return stopped.includes(true)
}

type Place = Pick<AirflowOptions, 'python' | 'home' | 'env' | 'signal'>

/** The database, unless this installation has made it what it needs before: asking alone takes seconds. */
async function migrate({ python, home, env, signal }: Place): Promise<void> {
  const stamp = join(home, 'migrated')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === python) return
  const run = promisify(execFile)
  try {
    await run(programOf(python), ['db', 'migrate'], { cwd: home, env: { ...env }, ...(signal ? { signal } : {}) })
  } catch (error) {
    if (signal?.aborted) throw new MeshError('MESH_STACK_STOPPED', 'migrating the database of Airflow was cancelled')
    throw new MeshError('MESH_STACK_CHILD_FAILED', 'migrating the database of Airflow', { cause: error, place: home })
  }
  writeFileSync(stamp, python)
}

const PARTS = ['api-server', 'scheduler', 'dag-processor'] as const

type PartName = (typeof PARTS)[number]

const ARGUMENTS: Readonly<Record<PartName, readonly string[]>> = {
  'api-server': ['api-server'],
  scheduler: ['scheduler', '--skip-serve-logs'],
  'dag-processor': ['dag-processor'],
}

function partSpec(name: PartName, { python, home, env, url, signal }: Place & { readonly url: string }): ChildSpec {
  const ready: Readonly<Record<PartName, () => Promise<boolean>>> = {
    'api-server': async () => (await isHealthy(url, 'metadatabase')) && takesTasks(url, signal),
    scheduler: () => isHealthy(url, 'scheduler'),
    'dag-processor': () => isHealthy(url, 'dag_processor'),
  }
  return {
    name: `airflow ${name}`,
    command: programOf(python),
    args: ARGUMENTS[name],
    env,
    cwd: home,
    logFile: join(home, `${name}.log`),
    pidFile: join(home, `${name}.pid.json`),
    isReady: ready[name],
    readyTimeoutMs: READY_TIMEOUT_MS,
    stopTimeoutMs: STOP_TIMEOUT_MS,
    // Tasks lead process groups of their own.
    wholeSession: true,
  }
}

const programOf = (python: string): string => join(dirname(python), 'airflow')

function airflowSettings(
  options: AirflowOptions & { readonly url: string; readonly passwords: string },
): Record<string, string> {
  const { python, home, dags, port, url, user, passwords, env } = options
  return {
    // It starts its own programs by name.
    PATH: `${dirname(python)}${delimiter}${env['PATH'] ?? ''}`,
    PYTHONDONTWRITEBYTECODE: '1',
    AIRFLOW_HOME: home,
    AIRFLOW__CORE__DAGS_FOLDER: dags,
    AIRFLOW__CORE__LOAD_EXAMPLES: 'False',
    AIRFLOW__CORE__PARALLELISM: '2',
    // A task gives up on an API server that takes longer; the default of 5 s fails tasks on a machine that is busy starting things.
    AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT: '60',
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `${url}/execution/`,
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS: `${user}:admin`,
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE: passwords,
    AIRFLOW__API__HOST: HOST,
    AIRFLOW__API__PORT: String(port),
    AIRFLOW__API__BASE_URL: url,
    AIRFLOW__API__WORKERS: '1',
    AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL: '5',
  }
}

/** `part` as /monitor/health names it. An answer costs the API server queries, and time in which the parts would start. */
async function isHealthy(url: string, part: string): Promise<boolean> {
  await delay(HEALTH_INTERVAL_MS)
  const response = await fetch(`${url}/api/v2/monitor/health`, { signal: AbortSignal.timeout(2000) })
  const health = (await response.json()) as Record<string, { status: string | null } | undefined>
  return health[part]?.status === 'healthy'
}

/**
 * The API that tasks talk to is put together at its first call, for seconds, on a busy machine for longer than a task waits: that call
 * is made here.
 */
async function takesTasks(url: string, cancel?: AbortSignal): Promise<boolean> {
  const signal = AbortSignal.any([AbortSignal.timeout(READY_TIMEOUT_MS), ...(cancel ? [cancel] : [])])
  const response = await fetch(`${url}/execution/health`, { signal })
  return response.ok
}
