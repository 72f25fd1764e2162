import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from '@mesh/shared/core/errors'
import { HOST } from './ports.ts'
import { type ChildSpec, type Environment, type ManagedChild, startChild, stopMarked } from './process.ts'
import { identityOf } from './process-identity.ts'
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

const READY_TIMEOUT_MS = 300_000
/** Its parts take long to end by themselves, and their work is in the database: what is left then is killed. */
const STOP_TIMEOUT_MS = 5_000
const GONE_TIMEOUT_MS = 60_000

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
  const stop = async (): Promise<void> => void (await Promise.all(parts.map(stopSession)))
  async function start(part: Part): Promise<void> {
    parts.push(await startChild(partSpec(part, { ...options, env, url }), options.signal))
  }
  try {
    // A task that the scheduler begins asks the API server at once.
    await start({ name: 'api-server', args: ['api-server'], healthy: ['metadatabase'], before: 'db migrate' })
    const rest: readonly Part[] = [
      { name: 'scheduler', args: ['scheduler', '--skip-serve-logs'], healthy: ['scheduler'] },
      { name: 'dag-processor', args: ['dag-processor'], healthy: ['dag_processor'] },
    ]
    const started = await Promise.allSettled(rest.map(start))
    const failed = started.find((each) => each.status === 'rejected')
    if (failed) throw failed.reason
  } catch (error) {
    await stop()
    throw error
  }
  return { url, logs: options.home, exited: Promise.race(parts.map((part) => part.exited)), stop }
}

/** The processes of an Airflow that a killed starter left behind. @returns whether there were any */
export async function stopLeftAirflow(home: string): Promise<boolean> {
  const marks = PARTS.flatMap((name) => readMark(join(home, `${name}.pid.json`)) ?? [])
  const stopped = await Promise.all(marks.map((mark) => stopMarked(mark, STOP_TIMEOUT_MS)))
  return stopped.includes(true)
}

const PARTS = ['api-server', 'scheduler', 'dag-processor'] as const

type Part = {
  readonly name: (typeof PARTS)[number]
  readonly args: readonly string[]
  /** What /monitor/health has to call healthy. */
  readonly healthy: readonly string[]
  readonly before?: string
}

function partSpec(
  { name, args, healthy, before }: Part,
  { python, home, env, url }: Pick<AirflowOptions, 'python' | 'home' | 'env'> & { readonly url: string },
): ChildSpec {
  const airflow = join(dirname(python), 'airflow')
  const [command, commandArgs] = before
    ? ['/bin/sh', ['-c', `"$0" ${before} && exec "$0" "$@"`, airflow, ...args]]
    : [airflow, args]
  return {
    name: `airflow ${name}`,
    command,
    args: commandArgs,
    env,
    cwd: home,
    logFile: join(home, `${name}.log`),
    pidFile: join(home, `${name}.pid.json`),
    isReady: () => isHealthy(url, healthy),
    readyTimeoutMs: READY_TIMEOUT_MS,
    stopTimeoutMs: STOP_TIMEOUT_MS,
  }
}

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

async function isHealthy(url: string, parts: readonly string[]): Promise<boolean> {
  const response = await fetch(`${url}/api/v2/monitor/health`, { signal: AbortSignal.timeout(2000) })
  const health = (await response.json()) as Record<string, { status: string | null } | undefined>
  return parts.every((part) => health[part]?.status === 'healthy')
}

/**
 * Tasks lead process groups of their own, in the session that the start made. Returns once none is left: what is killed may still hold
 * the database, and the next start would meet it.
 */
async function stopSession(child: ManagedChild): Promise<void> {
  await child.stop()
  const deadline = Date.now() + GONE_TIMEOUT_MS
  for (let left = sessionMembers(child.pid); left.length > 0; left = sessionMembers(child.pid)) {
    if (Date.now() > deadline) {
      throw new MeshError('MESH_STACK_CHILD_FAILED', `${child.name}: killed processes do not end: ${left.join(', ')}`)
    }
    for (const pid of left) kill(pid)
    await delay(50)
  }
}

/** Empty where there is no /proc: tasks then end at their next call of the API server. */
function sessionMembers(session: number): number[] {
  try {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => sessionOf(pid) === session && identityOf(pid) !== undefined)
  } catch {
    return []
  }
}

/** proc(5): after the last ')' come state, ppid, pgrp, session. */
function sessionOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[3])
  } catch {
    return null
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
