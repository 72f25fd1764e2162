import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { createFlinkEngine, type FlinkEngineOptions } from '../../../src/adapters/flink-engine.ts'
import { flinkJobId } from '../../../src/adapters/flink-jobs.ts'
import type { JobEngine } from '../../../src/core/ports.ts'
import { describeEngine, executionOf } from '../../support/engine-contract.ts'
import { job } from '../../support/jobs.ts'
import { scriptedServer } from '../../support/scripted-server.ts'

/** In place of JobManager and SQL Gateway: the answers that the real ones give (tests/engines/flink.test.ts). */
const jobs = new Map<string, string>()
const begun: string[] = []
const statements: string[] = []
let properties: Record<string, string> = {}
let taskManagers = 1
let submitError: string | null = null

const trace = (...causes: readonly string[]): object => ({
  errors: [
    'Internal server error.',
    ['<Exception on server side:', ...causes].join('\n\tat org.apache.X.y(X.java:1)\nCaused by: '),
  ],
})

function answerTo(method: string, url: string, body: string): [number, unknown] {
  if (url === '/overview') return [200, { taskmanagers: taskManagers }]
  if (url === '/v3/sessions') {
    properties = (JSON.parse(body) as { properties: Record<string, string> }).properties
    return [200, { sessionHandle: 's' }]
  }
  if (url === '/v3/sessions/s/statements') {
    statements.push((JSON.parse(body) as { statement: string }).statement)
    return [200, { operationHandle: String(statements.length - 1) }]
  }
  const [, handle, part] = /^\/v3\/sessions\/s\/operations\/(\d+)\/(.+)$/.exec(url) ?? []
  if (handle !== undefined) return answerOf(statements[Number(handle)]!, part!)
  if (url === '/v3/sessions/s') return [200, { status: 'CLOSED' }]
  const [, id = '', rest = ''] = /^\/jobs\/([0-9a-f]{32})(.*)$/.exec(url) ?? []
  const state = jobs.get(id)
  if (state === undefined) return [404, { errors: [`Job ${id} not found`] }]
  if (rest.startsWith('/exceptions')) {
    const stacktrace =
      'org.apache.flink.runtime.JobException: Recovery is suppressed\n\tat a.b(C.java)\nCaused by: java.lang.ArithmeticException: / by zero\n\tat d.e(F.java)'
    return [200, { exceptionHistory: { entries: state === 'FAILED' ? [{ stacktrace }] : [] } }]
  }
  if (method === 'PATCH') jobs.set(id, 'CANCELED')
  return [method === 'PATCH' ? 202 : 200, { jid: id, state: jobs.get(id), duration: 1500 }]
}

function answerOf(statement: string, part: string): [number, unknown] {
  const wrong = statement.includes('nobody') || (statement.startsWith('INSERT') && submitError !== null)
  if (part === 'status') return [200, { status: wrong ? 'ERROR' : 'FINISHED' }]
  if (wrong) {
    return [
      500,
      trace(
        'org.apache.flink.table.gateway.api.utils.SqlGatewayException: failed',
        submitError ??
          "org.apache.flink.table.api.ValidationException: SQL validation failed. Column 'nobody' not found",
      ),
    ]
  }
  if (!statement.startsWith('INSERT')) return [200, { resultType: 'EOS' }]
  const id = properties['$internal.pipeline.job-id']!
  begun.push(id)
  jobs.set(
    id,
    /good|bad|endless/
      .exec(statement)![0]
      .replace('good', 'FINISHED')
      .replace('bad', 'FAILED')
      .replace('endless', 'RUNNING'),
  )
  return [200, { resultType: 'PAYLOAD', jobID: id }]
}

const root = mkdtempSync(join(tmpdir(), 'mesh-flink-'))
for (const name of ['good', 'bad', 'endless']) {
  writeFileSync(
    join(root, `${name}.sql`),
    `CREATE VIEW v AS SELECT '\${mesh.run}';\nINSERT INTO ${name} SELECT * FROM v;\n`,
  )
}
writeFileSync(join(root, 'refused.sql'), 'CREATE VIEW v AS SELECT 1;\n\nINSERT INTO a SELECT nobody FROM v;\n')
writeFileSync(join(root, 'unknown.sql'), 'INSERT INTO a\nSELECT ${x};\n')

const server = scriptedServer((request, body) => answerTo(request.method!, request.url!, body))
beforeEach(() => {
  taskManagers = 1
  submitError = null
})
afterAll(() => {
  rmSync(root, { recursive: true, force: true })
})

const make = (more: Partial<FlinkEngineOptions> = {}): JobEngine =>
  createFlinkEngine({
    url: `http://127.0.0.1:${server.port()}`,
    gatewayUrl: `http://127.0.0.1:${server.port()}`,
    stateDir: join(root, 'state'),
    projectDir: root,
    addresses: { brokers: 'b:9092', registry: 'http://r', lake: 'file:///lake' },
    sources: { tablesOf: async () => ({ statements: ['CREATE TEMPORARY TABLE flights'], problem: null }) },
    ...more,
  })
let own: JobEngine | null = null
// The port is known once the server listens.
const engine = (): JobEngine => (own ??= make())
const of = (script: string, more: object = {}) => ({
  engine: 'flink' as const,
  options: { sql: `${script}.sql`, ...more },
})

describeEngine('flink', {
  engine,
  jobs: { good: of('good'), bad: of('bad'), endless: of('endless') },
  begun: (id) => begun.filter((each) => each === flinkJobId(id)).length,
  away: server.away,
  afterKill: () => make(),
  cancels: true,
})

test('the job has an id of its execution, its name, and ends after bounded restarts; its conf overrules that', async () => {
  const execution = executionOf(job(of('good', { conf: { 'restart-strategy.type': 'none', 'pipeline.name': 'mine' } })))
  const before = statements.length
  await engine().submit(execution)
  expect(properties).toMatchObject({
    'execution.runtime-mode': 'BATCH',
    'restart-strategy.type': 'none',
    'pipeline.name': execution.id,
    '$internal.pipeline.job-id': flinkJobId(execution.id),
  })
  expect(statements.slice(before)).toEqual([
    'CREATE TEMPORARY TABLE flights',
    `CREATE VIEW v AS SELECT '${execution.run.id}'`,
    'INSERT INTO good SELECT * FROM v',
  ])
  expect(await engine().status(execution)).toMatchObject({
    result: { outputs: [{ name: 'good', status: 'success', seconds: 1.5 }] },
  })
})

test('a job that failed says why, with its innermost cause', async () => {
  const execution = executionOf(job(of('bad')))
  await engine().submit(execution)
  expect(await engine().status(execution)).toMatchObject({ error: { message: 'ArithmeticException: / by zero' } })
  expect(await engine().logs(execution)).toContain('Recovery is suppressed')
})

test.for([
  ['SQL that Flink refuses', 'refused', /^refused\.sql:3: ValidationException: .* Column 'nobody' not found$/],
  ['a script that does not fit', 'unknown', /^unknown\.sql:2: there is no \$\{x\}/],
] as const)('%s is a failed attempt with file and line, found again after a kill', async ([, script, message]) => {
  const execution = executionOf(job(of(script)))
  await engine().submit(execution)
  const failed = { state: 'failed', error: { code: 'MESH_JOB_FAILED', message: expect.stringMatching(message) } }
  expect(await make().status(execution)).toMatchObject(failed)
  expect(await make().logs(execution)).toMatch(message)
})

test('input that is gone from the topic is a failed attempt', async () => {
  const gone = make({ sources: { tablesOf: async () => ({ statements: [], problem: 'begins at 5 by now' }) } })
  const execution = executionOf(job(of('good')))
  await gone.submit(execution)
  expect(await gone.status(execution)).toMatchObject({ state: 'failed', error: { message: 'begins at 5 by now' } })
})

test('a job that the JobManager has already is no failure', async () => {
  submitError = 'org.apache.flink.runtime.client.DuplicateJobSubmissionException: Job has already been submitted.'
  const execution = executionOf(job(of('good')))
  await engine().submit(execution)
  expect(await engine().status(execution)).toEqual({ state: 'unknown' })
})

test.for([
  ['no task manager', { taskManagers: 0 }, 'MESH_JOB_ENGINE_AWAY', /no task manager/],
  [
    'a JobManager that is away for the gateway',
    { submitError: 'java.net.ConnectException: Connection refused' },
    'MESH_JOB_ENGINE_UNSURE',
    /did not take the job/,
  ],
] as const)('%s keeps the run waiting with the reason in sight', async ([, state, code, message]) => {
  if ('taskManagers' in state) taskManagers = state.taskManagers
  else submitError = state.submitError
  const execution = executionOf(job(of('good')))
  await expect(engine().submit(execution)).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
  expect(await engine().status(execution)).toEqual({ state: 'unknown' })
})

test.for([
  ['an address', { url: null }, 'good', 'MESH_FLINK_URL is not set'],
  ["the gateway's address", { gatewayUrl: null }, 'good', 'MESH_FLINK_GATEWAY_URL is not set'],
  ['the script', {}, 'gone', 'there is no such SQL script'],
] as const)('without %s the run waits', async ([, more, script, message]) => {
  await expect(make(more).submit(executionOf(job(of(script))))).rejects.toMatchObject({
    code: 'MESH_JOB_ENGINE_AWAY',
    message,
  })
})
