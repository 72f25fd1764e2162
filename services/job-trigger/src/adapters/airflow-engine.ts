import { MeshError } from '@mesh/shared/core/errors'
import type { RunOutput, RunResult } from '@mesh/shared/core/runs'
import type { Execution, ExecutionStatus, JobEngine } from '../core/ports.ts'
import { engineJson, secretValue } from './engine-call.ts'
import type { HttpCall, HttpReply } from './http-call.ts'

type AirflowOptions = { readonly dag: string; readonly conf?: Readonly<Record<string, unknown>> }

export type AirflowEngineOptions = {
  /** Base URL of the API server; null: there is none. */
  readonly url: string | null
  readonly user: string
  /** `env:NAME` or `file:/path`. */
  readonly password: string
  readonly env: Readonly<Record<string, string | undefined>>
}

type DagRun = { readonly state: 'queued' | 'running' | 'success' | 'failed' }
type TaskInstance = {
  readonly task_id: string
  readonly state: string | null
  readonly duration: number | null
  readonly try_number: number
  readonly map_index: number
}

const POLL_MS = 1000

/**
 * Triggers a run of a DAG over Airflow's REST API (v2). The id of the DAG run is the execution's, so Airflow itself refuses a second
 * one (409), and any job-trigger finds it again. The input is `dag_run.conf.mesh`. Retries of tasks are the DAG's own; a DAG run
 * that failed is an attempt that failed, and the next attempt is a DAG run of its own.
 */
export function createAirflowEngine(options: AirflowEngineOptions): JobEngine {
  let token: string | null = null

  async function submit(execution: Execution): Promise<void> {
    const { dag, conf } = optionsOf(execution)
    const known = await call('GET', dagPath(dag))
    if (known.status === 404) throw new MeshError('MESH_JOB_ENGINE_AWAY', `Airflow has no DAG ${dag}`)
    requireOk(known, `DAG ${dag}`)
    // A run of a paused DAG stays queued for ever, which nobody would see here.
    if ((JSON.parse(known.text) as { is_paused: boolean }).is_paused) {
      throw new MeshError('MESH_JOB_ENGINE_AWAY', `the DAG ${dag} is paused in Airflow`)
    }
    const reply = await call('POST', `${dagPath(dag)}/dagRuns`, {
      dag_run_id: execution.id,
      logical_date: null,
      conf: { ...conf, mesh: execution.input },
    })
    if (reply.status !== 409) requireOk(reply, `a run of ${dag}`)
  }

  async function status(execution: Execution): Promise<ExecutionStatus> {
    if (options.url === null) return { state: 'unknown' }
    const reply = await call('GET', runPath(execution))
    if (reply.status === 404) return { state: 'unknown' }
    requireOk(reply, `the run ${execution.id}`)
    const { state } = JSON.parse(reply.text) as DagRun
    if (state === 'queued' || state === 'running') return { state: 'running' }
    const tasks = await tasksOf(execution)
    const result = resultOf(execution, tasks)
    if (state === 'success') return { state: 'succeeded', result }
    const failed = tasks.filter((task) => task.state === 'failed').map((task) => task.task_id)
    const message = failed.length > 0 ? `tasks failed: ${failed.join(', ')}` : 'Airflow ended the run as failed'
    return { state: 'failed', error: { code: 'MESH_JOB_FAILED', message }, result }
  }

  async function cancel(execution: Execution): Promise<void> {
    const reply = await call('PATCH', runPath(execution), { state: 'failed' })
    if (reply.status !== 404) requireOk(reply, `the run ${execution.id}`)
  }

  async function logs(execution: Execution): Promise<string | null> {
    const texts: string[] = []
    for (const task of await tasksOf(execution)) {
      texts.push(`== ${task.task_id}: ${task.state ?? 'none'}`)
      if (task.try_number < 1) continue
      const path = `${runPath(execution)}/taskInstances/${encodeURIComponent(task.task_id)}/logs/${task.try_number}`
      const reply = await call('GET', `${path}?map_index=${task.map_index}`)
      if (reply.ok) texts.push(...linesOf(reply.text))
    }
    return texts.length > 0 ? texts.join('\n') : null
  }

  async function tasksOf(execution: Execution): Promise<readonly TaskInstance[]> {
    const reply = await call('GET', `${runPath(execution)}/taskInstances`)
    return reply.ok ? (JSON.parse(reply.text) as { task_instances: TaskInstance[] }).task_instances : []
  }

  function resultOf(execution: Execution, tasks: readonly TaskInstance[]): RunResult {
    const outputs = tasks.map(
      ({ task_id, state, duration }): RunOutput => ({
        name: task_id,
        status: state ?? 'none',
        ...(duration === null ? {} : { seconds: duration }),
      }),
    )
    const page = `${base()}/dags/${optionsOf(execution).dag}/runs/${execution.id}`
    return { outputs, artefacts: { 'dag run': page }, message: null }
  }

  /** With a token, and once more with a new one: they expire. */
  async function call(method: HttpCall['method'], path: string, body?: unknown): Promise<HttpReply> {
    for (const last of [false, true]) {
      token ??= await login()
      const reply = await engineJson(method, `${base()}/api/v2${path}`, body, { authorization: `Bearer ${token}` })
      if (reply.status !== 401 || last) return reply
      token = null
    }
    throw new Error('unreachable')
  }

  async function login(): Promise<string> {
    const address = base()
    const password = secretValue(options.password, options.env)
    const reply = await engineJson('POST', `${address}/auth/token`, { username: options.user, password })
    if (!reply.ok) {
      throw new MeshError(
        'MESH_JOB_ENGINE_AWAY',
        `Airflow at ${address} refuses the user ${options.user} (${reply.status})`,
      )
    }
    return (JSON.parse(reply.text) as { access_token: string }).access_token
  }

  function base(): string {
    if (options.url === null) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'MESH_AIRFLOW_URL is not set')
    return options.url.replace(/\/$/, '')
  }

  return { submit, status, cancel, logs, pollMs: POLL_MS, close: async () => {} }
}

const optionsOf = ({ job }: Execution): AirflowOptions => job.options as AirflowOptions
const dagPath = (dag: string): string => `/dags/${encodeURIComponent(dag)}`
const runPath = (execution: Execution): string =>
  `${dagPath(optionsOf(execution).dag)}/dagRuns/${encodeURIComponent(execution.id)}`

/** An answer that is no answer to the question: the run waits with it in sight. @throws MeshError MESH_JOB_ENGINE_AWAY */
function requireOk(reply: HttpReply, what: string): void {
  if (!reply.ok) {
    throw new MeshError(
      'MESH_JOB_ENGINE_AWAY',
      `Airflow answers ${reply.status} for ${what}: ${reply.text.slice(0, 300)}`,
    )
  }
}

type LogLine = {
  readonly timestamp?: string
  readonly event?: string
  /** An exception and its causes. */
  readonly error_detail?: readonly { readonly exc_type?: string; readonly exc_value?: string }[] | null
}

/** Airflow gives a task's log as structured lines; the reason of a failure is beside the sentence that there was one. */
function linesOf(text: string): string[] {
  const { content } = JSON.parse(text) as { content?: readonly (string | LogLine)[] }
  return (content ?? []).flatMap((line) => {
    if (typeof line === 'string') return [line]
    const causes = (line.error_detail ?? []).map(({ exc_type, exc_value }) => `  ${exc_type}: ${exc_value}`)
    return [`${line.timestamp ?? ''} ${line.event ?? ''}`.trim(), ...causes]
  })
}
