import { afterAll, beforeAll, expect, test } from 'vitest'
import { identityOf } from '../../packages/cli/src/stack/process-identity.ts'
import { createAirflowEngine } from '../../services/job-trigger/src/adapters/airflow-engine.ts'
import type { JobEngine } from '../../services/job-trigger/src/core/ports.ts'
import { describeEngine, executionOf } from '../../services/job-trigger/test/support/engine-contract.ts'
import { job } from '../../services/job-trigger/test/support/jobs.ts'
import { type AirflowWorld, createAirflowWorld, PASSWORD } from './airflow-world.ts'
import { openGateTo, type PortGate } from './port-gate.ts'

let airflow: AirflowWorld
let gate: PortGate

beforeAll(async () => {
  airflow = await createAirflowWorld()
  await airflow.start()
  gate = await openGateTo(airflow.url)
})
afterAll(async () => {
  await gate?.close()
  await airflow?.close()
})

const make = (): JobEngine =>
  createAirflowEngine({ url: gate.url, user: 'mesh', password: 'env:PASSWORD', env: { PASSWORD } })
let own: JobEngine | null = null
const engine = (): JobEngine => (own ??= make())
const of = (dag: string, more: object = {}) => ({ engine: 'airflow' as const, options: { dag, ...more } })

test('every DAG is read without an error', async () => {
  expect((await airflow.call('GET', '/importErrors')).json).toMatchObject({ total_entries: 0 })
})

/** What the scripted server of the unit test answers is what the real one does. */
describeEngine('airflow, the real one', {
  engine,
  jobs: { good: of('good'), bad: of('bad'), endless: of('endless') },
  begun: (id) => airflow.begun(id),
  // Out of reach; airflow.test.ts stops and starts the real one under a job.
  async away() {
    await gate.close()
    return () => gate.open()
  },
  afterKill: make,
  cancels: true,
  settleMs: 120_000,
})

test('a DAG run has the execution as its id and the input as its conf; a second POST of it is a 409', async () => {
  const execution = executionOf(job(of('good', { conf: { region: 'eu' } })))
  await engine().submit(execution)
  await airflow.ended('good', execution.id)
  const run = (await airflow.runs('good')).find(({ dag_run_id: id }) => id === execution.id)!
  expect(run.conf).toEqual({ region: 'eu', mesh: JSON.parse(JSON.stringify(execution.input)) })
  const body = { dag_run_id: execution.id, logical_date: null, conf: {} }
  expect((await airflow.call('POST', '/dags/good/dagRuns', body)).status).toBe(409)
  expect(airflow.begun(execution.id)).toBe(1)
  expect(await engine().status(execution)).toMatchObject({ result: { outputs: [{ name: 'load', status: 'success' }] } })
  expect(await engine().logs(execution)).toContain('== load: success')
})

test('a DAG that is paused or not there keeps the run waiting with the reason in sight', async () => {
  await airflow.call('PATCH', '/dags/good', { is_paused: true })
  await expect(engine().submit(executionOf(job(of('good'))))).rejects.toMatchObject({
    message: expect.stringContaining('is paused in Airflow'),
  })
  await airflow.call('PATCH', '/dags/good', { is_paused: false })
  await expect(engine().submit(executionOf(job(of('gone'))))).rejects.toMatchObject({
    message: expect.stringContaining('Airflow has no DAG gone'),
  })
})

test('the tasks of a DAG are tried again by Airflow, and those that failed are named', async () => {
  const execution = executionOf(job(of('bad')))
  await engine().submit(execution)
  expect(await airflow.ended('bad', execution.id)).toBe('failed')
  expect(await engine().status(execution)).toMatchObject({ error: { message: 'tasks failed: load' } })
  expect(await engine().logs(execution)).toContain('this DAG always fails')
  expect(airflow.begun(execution.id)).toBe(2)
})

test('a stop leaves nothing running, not even a task', async () => {
  const execution = executionOf(job(of('endless')))
  await engine().submit(execution)
  await expect.poll(() => airflow.begun(execution.id), { timeout: 120_000, interval: 200 }).toBe(1)
  const [task] = airflow.pids(execution.id)
  expect(identityOf(task!)).toBeDefined()
  await airflow.stop()
  expect(identityOf(task!)).toBeUndefined()
  await expect(fetch(airflow.url)).rejects.toThrow()
})
