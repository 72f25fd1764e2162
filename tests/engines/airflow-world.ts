import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Airflow, installAirflow, startAirflow } from '../../packages/cli/src/stack/airflow.ts'
import { infrastructureEnvironment, type StackAddresses } from '../../packages/cli/src/stack/environment.ts'
import { findFreePorts } from '../../packages/cli/src/stack/ports.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { CACHE, ROOT } from './demo-mesh.ts'

export const PASSWORD = 'only-for-tests'
export const DAGS: readonly string[] = [
  'mesh_compaction',
  'mesh_contract_drift',
  'mesh_reconciliation',
  'mesh_replay',
  'mesh_retention',
]

export type DagRun = { readonly dag_run_id: string; readonly state: string; readonly conf: { readonly mesh?: unknown } }
export type TaskInstance = { readonly task_id: string; readonly state: string | null; readonly try_number: number }

/** A real Airflow with the mesh's DAGs and the suite's, on a port that is known before it starts. */
export type AirflowWorld = {
  readonly url: string
  readonly folder: string
  /** What came to the webhook. */
  readonly alerts: Record<string, unknown>[]
  start(mesh?: { readonly addresses: StackAddresses; readonly projectDir: string }): Promise<void>
  stop(): Promise<void>
  /** How often a task of the run was begun. */
  begun(runId: string): number
  /** Processes of the run's tasks, dead ones included. */
  pids(runId: string): number[]
  call(method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }>
  runs(dag: string): Promise<readonly DagRun[]>
  ended(dag: string, runId: string): Promise<string>
  tasks(dag: string, runId: string): Promise<Readonly<Record<string, string | null>>>
  close(): Promise<void>
}

export async function createAirflowWorld(): Promise<AirflowWorld> {
  const python = await installAirflow({
    folder: join(ROOT, 'transforms', 'airflow'),
    cache: CACHE,
    env: process.env,
    onProgress: (text) => console.log(`airflow ${text}`),
  })
  const folder = mkdtempSync(join(tmpdir(), 'mesh-airflow-'))
  const dags = join(folder, 'dags')
  cpSync(join(ROOT, 'transforms', 'airflow', 'dags'), dags, { recursive: true })
  for (const file of readdirSync(dags)) unschedule(join(dags, file))
  cpSync(join(ROOT, 'tests', 'engines', 'airflow-dags'), dags, { recursive: true })
  const port = (await findFreePorts(['airflow']))['airflow']!
  const alerts: Record<string, unknown>[] = []
  const webhook = await listen(alerts)
  const url = `http://127.0.0.1:${port}`
  const files = join(folder, 'runs')
  mkdirSync(files)
  let env: Record<string, string> = {}
  let airflow: Airflow | null = null
  let token = ''

  async function login(): Promise<void> {
    const { json } = await send('POST', '/auth/token', { username: 'mesh', password: PASSWORD })
    token = (json as { access_token: string }).access_token
  }
  async function send(method: string, path: string, body?: unknown): Promise<{ status: number; json: unknown }> {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, json: text === '' ? null : JSON.parse(text) }
  }
  const world: AirflowWorld = {
    url,
    folder: files,
    alerts,
    async start(mesh) {
      if (mesh)
        env = {
          ...infrastructureEnvironment(mesh.addresses),
          MESH_PROJECT_DIR: mesh.projectDir,
          MESH_CLI: `${process.execPath} ${join(ROOT, 'packages', 'cli', 'src', 'main.ts')}`,
        }
      airflow = await startAirflow({
        python,
        home: join(folder, 'home'),
        dags,
        port,
        user: 'mesh',
        password: PASSWORD,
        env: {
          ...process.env,
          ...env,
          MESH_TEST_FOLDER: files,
          MESH_AIRFLOW_ALERT_URL: `http://127.0.0.1:${(webhook.address() as AddressInfo).port}`,
          MESH_AIRFLOW_RETRY_DELAY_S: '1',
          MESH_AIRFLOW_POLL_S: '2',
          // A task waits for the scheduler to look again, and the DAGs do not change.
          AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME: '0.2',
          AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL: '3600',
        },
      })
      await login()
      await waitFor(
        async () => {
          const { json } = await send('GET', '/api/v2/dags?limit=100')
          const there = (json as { dags: { dag_id: string }[] }).dags.map(({ dag_id }) => dag_id)
          return [...DAGS, 'good', 'bad', 'endless'].every((dag) => there.includes(dag)) ? true : null
        },
        { what: 'Airflow to have read its DAGs', timeoutMs: 120_000, everyMs: 500 },
      )
    },
    async stop() {
      await airflow?.stop()
      airflow = null
    },
    begun: (runId) => world.pids(runId).length,
    pids(runId) {
      const file = join(files, 'begun')
      const lines = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []
      return lines.filter((line) => line.startsWith(`${runId} `)).map((line) => Number(line.split(' ')[1]))
    },
    call: (method, path, body) => send(method, `/api/v2${path}`, body),
    async runs(dag) {
      const { json } = await send('GET', `/api/v2/dags/${dag}/dagRuns?limit=100`)
      return (json as { dag_runs: DagRun[] }).dag_runs
    },
    ended(dag, runId) {
      return waitFor(
        async () => {
          const { json } = await send('GET', `/api/v2/dags/${dag}/dagRuns/${encodeURIComponent(runId)}`)
          const { state } = json as DagRun
          return state === 'success' || state === 'failed' ? state : null
        },
        { what: `the run ${runId} of ${dag} to end`, timeoutMs: 300_000, everyMs: 500 },
      )
    },
    async tasks(dag, runId) {
      const { json } = await send('GET', `/api/v2/dags/${dag}/dagRuns/${encodeURIComponent(runId)}/taskInstances`)
      const { task_instances: tasks } = json as { task_instances: TaskInstance[] }
      return Object.fromEntries(tasks.map(({ task_id, state }) => [task_id, state]))
    },
    async close() {
      await world.stop()
      webhook.closeAllConnections()
      webhook.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return world
}

/** A new Airflow begins the latest run of every schedule at once; with two tasks at a time the suite's own would wait behind those. */
function unschedule(file: string): void {
  writeFileSync(file, readFileSync(file, 'utf8').replace(/^( +schedule=)".*",$/m, '$1None,'))
}

function listen(alerts: Record<string, unknown>[]): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((request, response) => {
      let text = ''
      request.on('data', (chunk: Buffer) => (text += chunk.toString()))
      request.on('end', () => {
        alerts.push(JSON.parse(text) as Record<string, unknown>)
        response.writeHead(204).end()
      })
    })
    server.listen(0, '127.0.0.1', () => resolve(server))
  })
}
