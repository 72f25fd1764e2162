import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '@mesh/shared/testing/free-port'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'

const HOST = '127.0.0.1'
const DEPLOY = 'org.apache.spark.deploy'

export type SparkCluster = {
  /** `spark://host:port`, what a job names. */
  readonly master: string
  /** Applications that have ended, by name, with their last state and the executors' cores. */
  finished(): Promise<readonly { readonly name: string; readonly state: string; readonly cores: number }[]>
  stop(): Promise<void>
}

type MasterPage = {
  readonly aliveworkers: number
  readonly completedapps: Awaited<ReturnType<SparkCluster['finished']>>
}

/** Spark's own standalone cluster: a master and a worker as processes, of the Spark that MESH_SPARK_HOME names. */
export async function startSparkCluster(): Promise<SparkCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-spark-'))
  const [port, page, workerPort, workerPage] = [await freePort(), await freePort(), await freePort(), await freePort()]
  const master = `spark://${HOST}:${port}`
  const processes: ChildProcess[] = []
  let said = ''

  function start(name: string, args: readonly (string | number)[]): void {
    const home = process.env['MESH_SPARK_HOME']!
    const child = spawn(join(home, 'bin', 'spark-class'), [`${DEPLOY}.${name}`, '--host', HOST, ...args.map(String)], {
      // The class is started by a script: the group is what is ended.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        JAVA_HOME: process.env['MESH_SPARK_JAVA_HOME'],
        SPARK_HOME: home,
        SPARK_LOCAL_IP: HOST,
        SPARK_DAEMON_MEMORY: '256m',
      },
    })
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (bytes) => (said += String(bytes)))
    processes.push(child)
  }

  async function stop(): Promise<void> {
    for (const child of processes.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const ended = once(child, 'exit')
      process.kill(-child.pid!, 'SIGTERM')
      await ended
    }
    rmSync(folder, { recursive: true, force: true })
  }

  const look = (): Promise<MasterPage> => callJson<MasterPage>(`http://${HOST}:${page}/json/`)
  start('master.Master', ['--port', port, '--webui-port', page])
  const size = ['--cores', 2, '--memory', '1500m']
  start('worker.Worker', ['--port', workerPort, '--webui-port', workerPage, ...size, '--work-dir', folder, master])
  try {
    await waitFor(async () => ((await look().catch(() => null))?.aliveworkers === 1 ? true : null), {
      what: 'a worker of the Spark cluster',
      timeoutMs: 300_000,
      progress: () => said.slice(-2000),
    })
  } catch (error) {
    await stop()
    throw error
  }
  return { master, finished: async () => (await look()).completedapps, stop }
}
