import { expect, test } from 'vitest'
import { createAirflowEngine } from '../../../src/adapters/airflow-engine.ts'
import type { JobEngine } from '../../../src/core/ports.ts'
import { describeEngine, executionOf } from '../../support/engine-contract.ts'
import { job } from '../../support/jobs.ts'
import { scriptedServer } from '../../support/scripted-server.ts'

type KnownRun = { state: string; conf: { mesh?: unknown } }

/** In place of Airflow: what its API answers, as the real one was seen to (tests/engines/airflow.test.ts). */
const runs = new Map<string, KnownRun>()
const begun: string[] = []
const FAILED = {
  timestamp: 'T',
  event: 'Task failed with exception',
  error_detail: [{ exc_type: 'ValueError', exc_value: 'no such table', frames: [] }],
}
let token = 'token-1'
let paused = false

function answerTo(method: string, url: string, authorization: string | undefined, body: string): [number, unknown] {
  if (url === '/auth/token') {
    const { username, password } = JSON.parse(body) as Record<string, string>
    return username === 'mesh' && password === 'secret' ? [201, { access_token: token }] : [401, {}]
  }
  if (authorization !== `Bearer ${token}`) return [401, { detail: 'Not authenticated' }]
  const [, dag = '', rest = ''] = /^\/api\/v2\/dags\/([^/]+)(.*)$/.exec(url) ?? []
  if (!['good', 'bad', 'endless'].includes(dag)) return [404, { detail: 'no such DAG' }]
  if (rest === '') return [200, { dag_id: dag, is_paused: paused }]
  if (rest === '/dagRuns') {
    const { dag_run_id: id, conf } = JSON.parse(body) as { dag_run_id: string; conf: KnownRun['conf'] }
    if (runs.has(id)) return [409, { detail: 'Unique constraint violation' }]
    begun.push(id)
    runs.set(id, { state: { good: 'success', bad: 'failed', endless: 'running' }[dag]!, conf })
    return [200, { dag_run_id: id, state: 'queued' }]
  }
  const [, id = '', part = ''] = /^\/dagRuns\/([^/]+)(.*)$/.exec(rest) ?? []
  const run = runs.get(decodeURIComponent(id))
  if (!run) return [404, { detail: 'no such run' }]
  const task = { task_id: 'load', state: run.state, duration: 1.5, try_number: 1, map_index: -1 }
  if (part === '/taskInstances') return [200, { task_instances: [task] }]
  if (part.startsWith('/taskInstances/load/logs/1'))
    return [200, { content: [{ timestamp: 'T', event: 'loading' }, 'plain', ...(dag === 'bad' ? [FAILED] : [])] }]
  if (method === 'PATCH') run.state = (JSON.parse(body) as { state: string }).state
  return [200, { dag_run_id: id, state: run.state }]
}

const server = scriptedServer((request, body) =>
  answerTo(request.method!, request.url!, request.headers.authorization, body),
)

const make = (password = 'secret'): JobEngine =>
  createAirflowEngine({
    url: `http://127.0.0.1:${server.port()}`,
    user: 'mesh',
    password: 'env:PASSWORD',
    env: { PASSWORD: password },
  })
let own: JobEngine | null = null
// The port is known once the server listens.
const engine = (): JobEngine => (own ??= make())
const of = (dag: string, more: object = {}) => ({ engine: 'airflow' as const, options: { dag, ...more } })

describeEngine('airflow', {
  engine,
  jobs: { good: of('good'), bad: of('bad'), endless: of('endless') },
  begun: (id) => begun.filter((each) => each === id).length,
  away: server.away,
  afterKill: () => make(),
  cancels: true,
})

test('the run of the DAG has the execution as its id and the input as its conf', async () => {
  const execution = executionOf(job(of('good', { conf: { region: 'eu' } })))
  await engine().submit(execution)
  expect(runs.get(execution.id)!.conf).toEqual({ region: 'eu', mesh: JSON.parse(JSON.stringify(execution.input)) })
  expect(await engine().status(execution)).toMatchObject({
    result: { outputs: [{ name: 'load', status: 'success', seconds: 1.5 }] },
  })
  expect(await engine().logs(execution)).toBe('== load: success\nT loading\nplain')
})

test('a failure names the tasks that failed, and the log says why', async () => {
  const execution = executionOf(job(of('bad')))
  await engine().submit(execution)
  expect(await engine().status(execution)).toMatchObject({ error: { message: 'tasks failed: load' } })
  expect(await engine().logs(execution)).toContain('T Task failed with exception\n  ValueError: no such table')
})

test('a token that has expired is asked for anew', async () => {
  const execution = executionOf(job(of('good')))
  await engine().submit(execution)
  token = 'token-2'
  expect((await engine().status(execution)).state).toBe('succeeded')
})

test.for([
  ['a paused DAG', 'good', 'secret', 'the DAG good is paused in Airflow'],
  ['a DAG that is not there', 'gone', 'secret', 'Airflow has no DAG gone'],
  ['a wrong password', 'good', 'wrong', 'refuses the user mesh (401)'],
] as const)('%s keeps the run waiting with the reason in sight', async ([, dag, password, message]) => {
  paused = true
  await expect(make(password).submit(executionOf(job(of(dag))))).rejects.toMatchObject({
    code: 'MESH_JOB_ENGINE_AWAY',
    message: expect.stringContaining(message),
  })
  paused = false
})

test('without an address the run waits', async () => {
  const none = createAirflowEngine({ url: null, user: 'mesh', password: 'env:PASSWORD', env: {} })
  await expect(none.submit(executionOf(job(of('good'))))).rejects.toMatchObject({
    message: 'MESH_AIRFLOW_URL is not set',
  })
})
