import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { parse } from 'yaml'
import { portOf } from './environment.ts'
import type { FlinkInstallation } from './flink.ts'
import { findFreePorts, HOST, type PortMap } from './ports.ts'
import { type Environment, type ManagedChild, startChild, stopMarked } from './process.ts'
import { readMark } from './state.ts'

export type FlinkCluster = {
  /** JobManager's REST API: MESH_FLINK_URL. */
  readonly url: string
  /** SQL Gateway's: MESH_FLINK_GATEWAY_URL. */
  readonly gatewayUrl: string
  readonly taskManager: ManagedChild
  /** Another one in place of a task manager that is gone. */
  startTaskManager(): Promise<ManagedChild>
  stop(): Promise<void>
}

export type FlinkClusterOptions = FlinkInstallation & {
  /** Configuration, logs and pids of this cluster. */
  readonly stateDir: string
  readonly env: Environment
}

const PARTS = ['jobmanager', 'taskmanager', 'sql-gateway'] as const
type Part = (typeof PARTS)[number]

/**
 * A session cluster of three processes (JobManager, one TaskManager, SQL Gateway) on 127.0.0.1, each in a group of its own. What a
 * killed starter left running is stopped first: its pids lie in the state folder.
 */
export async function startFlinkCluster(options: FlinkClusterOptions): Promise<FlinkCluster> {
  await stopFlinkCluster(options.stateDir)
  const ports = await findFreePorts(['rest', 'rpc', 'gateway'])
  writeConfiguration(options, ports)
  const url = `http://${HOST}:${portOf(ports, 'rest')}`
  const gatewayUrl = `http://${HOST}:${portOf(ports, 'gateway')}`
  const running: ManagedChild[] = []
  async function start(part: Part, isReady: () => Promise<boolean>): Promise<ManagedChild> {
    const child = await startPart(options, part, isReady)
    running.push(child)
    return child
  }
  const stop = async (): Promise<void> => {
    await Promise.all(running.map((child) => child.stop()))
  }
  const startTaskManager = async (): Promise<ManagedChild> => {
    const before = await taskManagersOf(url)
    return start('taskmanager', async () => (await taskManagersOf(url)).some((id) => !before.includes(id)))
  }
  try {
    await start('jobmanager', async () => (await fetch(`${url}/overview`)).ok)
    const [taskManager] = await Promise.all([
      startTaskManager(),
      start('sql-gateway', async () => (await fetch(`${gatewayUrl}/v3/info`)).ok),
    ])
    return { url, gatewayUrl, taskManager, startTaskManager, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Stops what a cluster of this state folder has left running. Returns how many processes there were. */
export async function stopFlinkCluster(stateDir: string): Promise<number> {
  const marks = PARTS.map((part) => readMark(pidFile(stateDir, part))).filter((mark) => mark !== undefined)
  const stopped = await Promise.all(marks.map((mark) => stopMarked(mark, STOP_MS)))
  return stopped.filter(Boolean).length
}

const READY_MS = 240_000
const STOP_MS = 10_000
const pidFile = (stateDir: string, part: Part): string => join(stateDir, 'run', `${part}.json`)

function startPart(options: FlinkClusterOptions, part: Part, isReady: () => Promise<boolean>): Promise<ManagedChild> {
  const { home, java, stateDir, env } = options
  return startChild({
    name: `Flink ${part}`,
    command: join(home, 'bin', `${part}.sh`),
    args: ['start-foreground'],
    env: {
      ...env,
      JAVA_HOME: java.home,
      FLINK_CONF_DIR: join(stateDir, 'conf'),
      FLINK_LOG_DIR: join(stateDir, 'log'),
    },
    cwd: stateDir,
    logFile: join(stateDir, 'log', `${part}.out`),
    pidFile: pidFile(stateDir, part),
    isReady,
    readyTimeoutMs: READY_MS,
    stopTimeoutMs: STOP_MS,
  })
}

async function taskManagersOf(url: string): Promise<readonly string[]> {
  const response = await fetch(`${url}/taskmanagers`)
  return ((await response.json()) as { taskmanagers: { id: string }[] }).taskmanagers.map(({ id }) => id)
}

/** Flink reads a folder of its own; the home in the cache may serve several clusters. */
function writeConfiguration({ home, stateDir }: FlinkClusterOptions, ports: PortMap): void {
  for (const folder of ['run', 'log', 'tmp']) mkdirSync(join(stateDir, folder), { recursive: true })
  cpSync(join(home, 'conf'), join(stateDir, 'conf'), { recursive: true })
  const file = join(stateDir, 'conf', 'config.yaml')
  // Java's module flags, without which nothing starts.
  const shipped = parse(readFileSync(file, 'utf8')) as { env: { java: { opts: { all: string } } } }
  const folder = (name: string): string => pathToFileURL(join(stateDir, name)).href
  const settings: Readonly<Record<string, string | number>> = {
    'env.java.opts.all': `${shipped.env.java.opts.all} -XX:+UseSerialGC`,
    'env.java.opts.sql-gateway': '-Xmx384m',
    'jobmanager.rpc.address': HOST,
    'jobmanager.rpc.port': portOf(ports, 'rpc'),
    'jobmanager.bind-host': HOST,
    'jobmanager.memory.process.size': '768m',
    'taskmanager.host': HOST,
    'taskmanager.bind-host': HOST,
    'taskmanager.memory.process.size': '1600m',
    'taskmanager.memory.jvm-metaspace.size': '192m',
    'taskmanager.memory.managed.size': '512m',
    'taskmanager.memory.network.min': '96m',
    'taskmanager.memory.network.max': '96m',
    'taskmanager.network.sort-shuffle.min-buffers': 64,
    'taskmanager.numberOfTaskSlots': 2,
    'parallelism.default': 1,
    // A task manager that is gone is noticed in seconds.
    'heartbeat.interval': 2000,
    'heartbeat.timeout': 10_000,
    'rest.address': HOST,
    'rest.bind-address': HOST,
    'rest.port': portOf(ports, 'rest'),
    'sql-gateway.endpoint.rest.address': HOST,
    'sql-gateway.endpoint.rest.bind-address': HOST,
    'sql-gateway.endpoint.rest.port': portOf(ports, 'gateway'),
    'execution.target': 'remote',
    'execution.checkpointing.dir': folder('checkpoints'),
    'execution.checkpointing.savepoint-dir': folder('savepoints'),
    'io.tmp.dirs': join(stateDir, 'tmp'),
    // How a job ended is told for a week: a job-trigger that was away asks late.
    'jobstore.expiration-time': 604_800,
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name}: ${JSON.stringify(value)}`)
  writeFileSync(file, `${lines.join('\n')}\n`)
}
