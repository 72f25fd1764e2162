import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Run, RunsResponse } from '@mesh/shared/core/runs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { withFile } from '../e2e/landing-file.ts'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { type AirflowWorld, createAirflowWorld, PASSWORD } from './airflow-world.ts'
import { postFlights, settle, startDemoMesh } from './demo-mesh.ts'
import { dropJob, everyRun, putJob } from './run-job.ts'

let airflow: AirflowWorld
let mesh: MeshUnderTest

beforeAll(async () => {
  airflow = await createAirflowWorld()
  mesh = await startDemoMesh({
    services: ['job-trigger'],
    prepare: (projectDir) => mkdirSync(join(projectDir, 'jobs')),
    env: { MESH_AIRFLOW_URL: airflow.url, MESH_AIRFLOW_PASSWORD: 'env:AIRFLOW_PASSWORD', AIRFLOW_PASSWORD: PASSWORD },
  })
})
afterAll(async () => {
  await airflow?.close()
  await mesh?.stop()
})

const INPUTS = 'inputs: [{ stream: flights, layer: landing }]'
const airflowJob = (name: string, dag: string, more: readonly string[] = []): void =>
  putJob(mesh, name, ['engine: airflow', INPUTS, 'coalesce: { quiet: 1s }', ...more, `airflow: { dag: ${dag} }`])

async function runsOf(job: string): Promise<readonly Run[]> {
  const url = mesh.stack.addresses.services['job-trigger']!
  return (await callJson<RunsResponse>(`${url}/v1/runs?job=${job}`)).runs.toReversed()
}

function until(job: string, what: string, found: (runs: readonly Run[]) => boolean): Promise<readonly Run[]> {
  let last: readonly Run[] = []
  return waitFor(
    async () => {
      // The process may just be away: it is killed below.
      last = await runsOf(job).catch(() => last)
      return found(last) ? last : null
    },
    { what: `${job}: ${what}`, timeoutMs: 400_000, everyMs: 200, progress: () => JSON.stringify(last.at(-1)) },
  )
}

/** The ranges of the runs that ended well tile: each begins where the one before ended, from the start of the log. */
function tiles(runs: readonly Run[]): boolean {
  const ends = new Map<string, number>()
  return runs.every(({ vector }) =>
    vector.every((range) => {
      const key = `${range.topicId}/${range.partition}`
      const starts = (ends.get(key) ?? 0) === range.from
      ends.set(key, range.to)
      return starts
    }),
  )
}

test('Airflow is not there yet: the run waits, says so, and is taken once it is; its DAG run has the vector as conf', async () => {
  airflowJob('report', 'good')
  const [waiting] = await until('report', 'waits', ([run]) => run?.error?.code === 'MESH_JOB_ENGINE_AWAY')
  expect(waiting!.error!.message).toContain('cannot be reached')
  await airflow.start({ addresses: mesh.stack.addresses, projectDir: mesh.projectDir })
  const [run] = await everyRun(mesh, 'report')
  const executionId = `${run!.id}.1`
  expect(run).toMatchObject({
    state: 'succeeded',
    attempt: 1,
    result: { outputs: [{ name: 'load', status: 'success' }] },
  })
  const [dagRun] = await airflow.runs('good')
  expect(dagRun).toMatchObject({ dag_run_id: executionId, state: 'success' })
  const conf = JSON.parse(readFileSync(join(airflow.folder, `${executionId}.json`), 'utf8')) as { mesh: Run }
  expect(conf.mesh.vector).toEqual(run!.vector)
  expect(conf.mesh).toMatchObject({ runId: run!.id, executionId, job: 'report' })
  // As a job-trigger would that lost the answer: Airflow has it, and does not run it twice.
  const again = { dag_run_id: executionId, logical_date: null, conf: {} }
  expect((await airflow.call('POST', '/dags/good/dagRuns', again)).status).toBe(409)
  expect(airflow.begun(executionId)).toBe(1)
})

test('job-trigger is killed in the middle of a DAG run: the next one finds that run, and nothing runs twice', async () => {
  airflowJob('slow', 'endless')
  const [running] = await until(
    'slow',
    'runs',
    ([run]) => run?.state === 'running' && airflow.begun(`${run.id}.1`) === 1,
  )
  await mesh.stack.restart('job-trigger', 'SIGKILL')
  await until('slow', 'is found again', ([run]) => run?.id === running!.id && run.state === 'running')
  writeFileSync(join(airflow.folder, 'go'), '')
  const [run] = await everyRun(mesh, 'slow')
  expect(run).toMatchObject({ id: running!.id, attempt: 1, state: 'succeeded' })
  expect(airflow.begun(`${run!.id}.1`)).toBe(1)
  expect(await airflow.runs('endless')).toHaveLength(1)
  // What ended before the kill is on mesh.runs, and was not begun again.
  expect((await runsOf('report')).map(({ state }) => state)).toContain('succeeded')
  expect(await airflow.runs('good')).toHaveLength(1)
  await dropJob(mesh, 'slow')
})

test('a DAG that fails is tried again after a pause, under an id of its own, then the run is dead; other jobs go on', async () => {
  airflowJob('broken', 'bad', ['retries: { attempts: 2, backoff: 3s, maxBackoff: 10s }'])
  const [paused] = await until('broken', 'pauses', ([run]) => run?.state === 'failed')
  expect(Date.parse(paused!.nextAttemptAt!)).toBeGreaterThan(Date.parse(paused!.attempts[0]!.endedAt!) + 1000)
  expect(paused!.error).toMatchObject({ code: 'MESH_JOB_FAILED', message: 'tasks failed: load' })
  const [dead] = await until('broken', 'is dead', ([run]) => run?.state === 'dead')
  expect(dead!.attempts.map(({ number, error }) => [number, error?.code])).toEqual([
    [1, 'MESH_JOB_FAILED'],
    [2, 'MESH_JOB_FAILED'],
  ])
  const ids = (await airflow.runs('bad')).map(({ dag_run_id: id }) => id).sort()
  expect(ids).toEqual([`${dead!.id}.1`, `${dead!.id}.2`])
  expect(await everyRun(mesh, 'report')).toHaveLength(1)
  await dropJob(mesh, 'broken')
})

test('Airflow is away for a while and events go on: nothing is missed, and what came is one run', async () => {
  await airflow.stop()
  for (const from of [2000, 2300]) {
    await postFlights(mesh, 300, from)
    await settle(mesh)
    await until('report', 'waits', (runs) => runs.at(-1)?.error?.code === 'MESH_JOB_ENGINE_AWAY')
  }
  await airflow.start()
  const runs = (await everyRun(mesh, 'report')).toReversed()
  expect(runs).toHaveLength(2)
  expect(tiles(runs)).toBe(true)
  expect((await airflow.runs('good')).map(({ state }) => state)).toEqual(['success', 'success'])
})

test('reconciliation really closes the books; an open one fails it at once, names the range, and alerts', async () => {
  airflowJob('books', 'mesh_reconciliation')
  const [run] = await everyRun(mesh, 'books')
  const url = mesh.stack.addresses.services['job-trigger']!
  const log = await (await fetch(`${url}/v1/runs/${run!.id}/logs`)).text()
  expect(log).toMatch(/flights v1 live: closed, raw \d+, ok \d+/)
  expect(log).not.toContain('airports v1')

  // Somebody deletes a row of landing.
  await withFile(mesh.warehouseFile, async (sql) => {
    await sql('CREATE TABLE taken AS SELECT * FROM FLIGHTS__V1 ORDER BY _partition, _offset LIMIT 1')
    await sql('DELETE FROM FLIGHTS__V1 WHERE (_partition, _offset) IN (SELECT (_partition, _offset) FROM taken)')
  })
  const dagRun = { dag_run_id: 'by-hand-1', logical_date: null, conf: { streams: ['flights'], wait: 5 } }
  expect((await airflow.call('POST', '/dags/mesh_reconciliation/dagRuns', dagRun)).status).toBe(200)
  expect(await airflow.ended('mesh_reconciliation', 'by-hand-1')).toBe('failed')
  await withFile(mesh.warehouseFile, async (sql) => {
    await sql('INSERT INTO FLIGHTS__V1 SELECT * FROM taken')
    await sql('DROP TABLE taken')
  })
  await settle(mesh)
  const alert = await waitFor(async () => airflow.alerts.find((each) => each['run'] === 'by-hand-1') ?? null, {
    what: 'the alert',
    timeoutMs: 60_000,
  })
  // Tried once: books that are open do not close by being looked at again.
  expect(alert).toMatchObject({ dag: 'mesh_reconciliation', task: 'verify', attempt: 1 })
  expect(alert['text']).toMatch(
    /flights v1 live partition \d+ \[0, \d+\): outputs = rows\(landing\): (\d+) is not (\d+)/,
  )
})

test('compaction merges the small objects, the books close over them, and a second night has nothing to do', async () => {
  const counted = async (): Promise<number> => (await keysOf('silver/flights/')).length
  const before = await counted()
  await dagRun('mesh_compaction', 'merge-1', { streams: ['flights'], older_than: '0s', wait: 60 })
  expect(await airflow.ended('mesh_compaction', 'merge-1')).toBe('success')
  const merged = await counted()
  expect(merged).toBeGreaterThan(before)
  await dagRun('mesh_compaction', 'merge-2', { streams: ['flights'], older_than: '0s', wait: 60 })
  expect(await airflow.ended('mesh_compaction', 'merge-2')).toBe('success')
  expect(await counted()).toBe(merged)
  // What the first night has merged lies beside its parts: they are young, so nothing is deleted.
  await dagRun('mesh_retention', 'keep-1', { streams: ['flights'] })
  expect(await airflow.ended('mesh_retention', 'keep-1')).toBe('success')
  expect(await counted()).toBe(merged)
  expect(await airflow.tasks('mesh_retention', 'keep-1')).toMatchObject({
    plan: 'success',
    approve: 'skipped',
    drop: 'skipped',
  })
})

test('retention asks before it drops history, and drops what it has shown', async () => {
  const file = join(mesh.projectDir, 'streams', 'flights', 'stream.yaml')
  writeFileSync(
    file,
    readFileSync(file, 'utf8').replace('silver: { format: parquet', 'silver: { format: parquet, retention: 1ms'),
  )
  await mesh.apply(mesh.projectDir, ['flights'])
  await settle(mesh)
  for (const [id, answer, state] of [
    ['no-1', 'Reject', 'skipped'],
    ['yes-1', 'Approve', 'success'],
  ] as const) {
    await dagRun('mesh_retention', id, { streams: ['flights'], wait: 60 })
    await approve('mesh_retention', id, 'approve', answer)
    expect(await airflow.ended('mesh_retention', id)).toBe('success')
    expect(await airflow.tasks('mesh_retention', id)).toMatchObject({ clean: 'success', drop: state, verify: state })
    const dropped = (await keysOf('silver/flights/')).filter((key) => key.includes('-dropped.'))
    expect(dropped.length > 0).toBe(answer === 'Approve')
  }
  await settle(mesh)
})

async function keysOf(prefix: string): Promise<string[]> {
  const keys: string[] = []
  for await (const key of mesh.store.list(prefix)) keys.push(key)
  return keys
}

async function dagRun(dag: string, id: string, conf: object): Promise<void> {
  const body = { dag_run_id: id, logical_date: null, conf }
  expect((await airflow.call('POST', `/dags/${dag}/dagRuns`, body)).status).toBe(200)
}

test('contract drift: a stream that is not applied is news, a schema that went past apply is an error', async () => {
  const drift = async (id: string): Promise<string> => {
    const body = { dag_run_id: id, logical_date: null, conf: {} }
    expect((await airflow.call('POST', '/dags/mesh_contract_drift/dagRuns', body)).status).toBe(200)
    return airflow.ended('mesh_contract_drift', id)
  }
  const reports = (): unknown[] => airflow.alerts.filter(({ dag }) => dag === 'mesh_contract_drift')
  expect(await drift('drift-1')).toBe('success')
  expect(JSON.stringify(reports())).toContain('{"stream":"github","kind":"not applied"')
  expect(JSON.stringify(reports())).not.toMatch(/"stream":"(flights|airports)"/)

  const file = join(mesh.projectDir, 'streams', 'flights', 'refined.avsc')
  const before = readFileSync(file, 'utf8')
  const wider = JSON.parse(before) as { fields: unknown[] }
  wider.fields.push({ name: 'gate', type: ['null', 'string'], default: null })
  const registry = mesh.stack.addresses.registryUrl
  await callJson(`${registry}/subjects/refined.flights.v1-value/versions`, {
    method: 'POST',
    body: { schema: JSON.stringify(wider) },
  })
  expect(await drift('drift-2')).toBe('failed')
  expect(JSON.stringify(reports())).toContain('refined.flights.v1-value has another schema')
})

test('a replay waits for a yes, builds a candidate whose books close, and a second yes makes it live', async () => {
  const conf = { stream: 'airports', cutover: true, wait: 60 }
  const ask = { dag_run_id: 'replay-1', logical_date: null, conf }
  expect((await airflow.call('POST', '/dags/mesh_replay/dagRuns', ask)).status).toBe(200)
  await approve('mesh_replay', 'replay-1', 'approve', 'Approve')
  await approve('mesh_replay', 'replay-1', 'approve_cutover', 'Approve')
  expect(await airflow.ended('mesh_replay', 'replay-1')).toBe('success')
  expect((await mesh.versions('airports')).live).toBe(2)

  const no = { dag_run_id: 'replay-2', logical_date: null, conf }
  await airflow.call('POST', '/dags/mesh_replay/dagRuns', no)
  await approve('mesh_replay', 'replay-2', 'approve', 'Reject')
  expect(await airflow.ended('mesh_replay', 'replay-2')).toBe('success')
  expect(await airflow.tasks('mesh_replay', 'replay-2')).toMatchObject({ start: 'skipped', cutover: 'skipped' })
  expect((await mesh.versions('airports')).live).toBe(2)
})

/**
 * Answers, and answers again if it is asked again: an answer that comes before the scheduler has seen the task pause makes Airflow
 * take the task for lost, and try it again.
 */
async function approve(dag: string, runId: string, task: string, option: 'Approve' | 'Reject'): Promise<void> {
  const path = `/dags/${dag}/dagRuns/${runId}/taskInstances/${task}/-1/hitlDetails`
  await waitFor(
    async () => {
      const state = (await airflow.tasks(dag, runId))[task]
      if (state === 'failed' || state === 'upstream_failed') throw new Error(`${task} of ${runId} is ${state}`)
      if (state === 'awaiting_input') {
        const answer = await airflow.call('PATCH', path, { chosen_options: [option], params_input: {} })
        // 409: it has the answer, and has not gone on yet.
        expect([200, 409]).toContain(answer.status)
      }
      return state === 'success' ? true : null
    },
    { what: `${task} to be answered`, timeoutMs: 300_000, everyMs: 500 },
  )
}
