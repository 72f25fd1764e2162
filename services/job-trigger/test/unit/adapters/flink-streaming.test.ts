import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StreamingState } from '@mesh/shared/core/runs'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { createFlinkEngine } from '../../../src/adapters/flink-engine.ts'
import { flinkJobId } from '../../../src/adapters/flink-jobs.ts'
import type { Execution } from '../../../src/core/ports.ts'
import { NEVER_STREAMED } from '../../../src/core/streaming.ts'
import { executionOf } from '../../support/engine-contract.ts'
import { job } from '../../support/jobs.ts'
import { scriptedServer } from '../../support/scripted-server.ts'

/** In place of JobManager and SQL Gateway: the answers that the real ones give (tests/engines/flink). */
let state = 'RUNNING'
let checkpoints: { completed: object | null; savepoint: object | null } = { completed: null, savepoint: null }
let failure: string | null = null
const triggers = new Set<string>()
const stops: unknown[] = []
let properties: Record<string, string> = {}
let known = false
/** The one job that the JobManager knows; null: any. */
let only: string | null = null
const cancelled: string[] = []

const point = (id: number, path: string): object => ({ id, external_path: path })
const server = scriptedServer((request, body): [number, unknown] => {
  const url = request.url!
  if (url === '/overview') return [200, { taskmanagers: 1 }]
  if (url === '/v3/sessions') {
    properties = (JSON.parse(body) as { properties: Record<string, string> }).properties
    return [200, { sessionHandle: 's' }]
  }
  if (url === '/v3/sessions/s/statements') {
    known = true
    return [200, { operationHandle: '0' }]
  }
  if (url.endsWith('/status')) return [200, { status: 'FINISHED' }]
  if (url.startsWith('/v3/')) return [200, { jobID: 'j' }]
  const rest = /^\/jobs\/[0-9a-f]{32}(.*)$/.exec(url)?.[1]
  if (rest === undefined || !known || (only !== null && !url.includes(only))) return [404, { errors: ['not found'] }]
  if (request.method === 'PATCH') {
    cancelled.push(url.slice('/jobs/'.length, '/jobs/'.length + 32))
    state = 'CANCELED'
    return [202, {}]
  }
  if (rest === '/checkpoints') return [200, { latest: checkpoints }]
  if (rest.startsWith('/exceptions')) return [200, { exceptionHistory: { entries: [] } }]
  if (rest === '/stop') {
    const asked = JSON.parse(body) as { triggerId: string }
    stops.push(asked)
    triggers.add(asked.triggerId)
    return [202, { 'request-id': asked.triggerId }]
  }
  if (rest.startsWith('/savepoints/')) {
    if (!triggers.has(rest.slice('/savepoints/'.length))) return [404, { errors: ['no such trigger'] }]
    const cause = {
      class: 'x.CheckpointException',
      'stack-trace': 'x.CheckpointException: Not all tasks are running\n\tat a.b(C.java)',
    }
    return [200, failure === null ? { status: { id: 'IN_PROGRESS' } } : { operation: { 'failure-cause': cause } }]
  }
  return [200, { state, duration: 1000 }]
})

const root = mkdtempSync(join(tmpdir(), 'mesh-flink-streaming-'))
const SCRIPT = join(root, 'days.sql')
beforeEach(() => {
  writeFileSync(SCRIPT, 'INSERT INTO days SELECT * FROM flights;\n')
  state = 'RUNNING'
  checkpoints = { completed: null, savepoint: null }
  failure = null
  triggers.clear()
  stops.length = 0
  known = true
  only = null
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const engine = (): ReturnType<typeof createFlinkEngine> =>
  createFlinkEngine({
    url: `http://127.0.0.1:${server.port()}`,
    gatewayUrl: `http://127.0.0.1:${server.port()}`,
    stateDir: join(root, 'state'),
    projectDir: root,
    addresses: { brokers: 'b:9092', registry: null, lake: null },
    sources: { tablesOf: async () => ({ statements: [], problem: null }) },
  })

function streaming(more: Partial<StreamingState> = {}, conf: Record<string, string> = {}): Execution {
  const options = { sql: 'days.sql', mode: 'streaming', conf }
  const execution = executionOf(job({ engine: 'flink', streaming: true, options }))
  return { ...execution, run: { ...execution.run, streaming: { ...NEVER_STREAMED, ...more } } }
}

test('it is submitted as a streaming job that checkpoints, keeps them, and recovers from what its run names', async () => {
  known = false
  const execution = streaming(
    { recoverFrom: 'file:///sp-1' },
    { 'execution.checkpointing.interval': '2 s', 'execution.runtime-mode': 'BATCH' },
  )
  await engine().submit(execution)
  expect(properties).toMatchObject({
    'execution.runtime-mode': 'STREAMING',
    'execution.checkpointing.interval': '2 s',
    'execution.checkpointing.externalized-checkpoint-retention': 'RETAIN_ON_CANCELLATION',
    'restart-strategy.type': 'failure-rate',
    'execution.state-recovery.path': 'file:///sp-1',
    '$internal.pipeline.job-id': flinkJobId(execution.id),
  })
  const script = readFileSync(join(root, 'state', 'runs', 'gold', execution.id, 'script.sql'), 'utf8')
  expect(script).toContain("SET 'execution.state-recovery.path' = 'file:///sp-1';\n")
  expect(script).toMatch(/\nINSERT INTO days SELECT \* FROM flights;\n$/)
  known = false
  await engine().submit(streaming())
  expect(properties).not.toHaveProperty('execution.state-recovery.path')
})

test('an attempt ends the one before it, should that be there after all', async () => {
  const execution = streaming({ recoverFrom: 'file:///chk-9' })
  const second = { ...execution, id: `${execution.run.id}.2`, run: { ...execution.run, attempt: 2 } }
  state = 'RUNNING'
  known = false
  await engine().submit(second)
  expect(cancelled).toEqual([])
  only = flinkJobId(execution.id)
  await engine().submit(second)
  expect(cancelled).toEqual([flinkJobId(execution.id)])
})

test('a running one is shown in the word of Flink, with its page and the checkpoint that it has', async () => {
  checkpoints = { completed: point(4, 'file:///chk-4'), savepoint: null }
  state = 'RESTARTING'
  const execution = streaming()
  expect(await engine().status(execution)).toEqual({
    state: 'running',
    stream: {
      engineState: 'RESTARTING',
      artefacts: {
        'flink job': expect.stringContaining(flinkJobId(execution.id)) as string,
        checkpoint: 'file:///chk-4',
      },
    },
  })
})

test('one stop is one savepoint, whoever asks and how often; another stop is another one', async () => {
  const execution = streaming()
  for (let i = 0; i < 3; i++) expect(await engine().streaming.stop(execution, 't1')).toBeNull()
  expect(stops).toEqual([{ triggerId: expect.stringMatching(/^[0-9a-f]{32}$/), drain: false }])
  await engine().streaming.stop(execution, 't2')
  expect(stops).toHaveLength(2)
})

test('a savepoint that could not be taken is a reason', async () => {
  const execution = streaming()
  await engine().streaming.stop(execution, 't1')
  failure = 'failed'
  expect(await engine().streaming.stop(execution, 't1')).toBe('CheckpointException: Not all tasks are running')
})

test('stopped: finished, and its newest restore point is a savepoint', async () => {
  state = 'FINISHED'
  checkpoints = { completed: point(4, 'file:///chk-4'), savepoint: point(5, 'file:///sp-5') }
  expect(await engine().status(streaming())).toMatchObject({
    state: 'stopped',
    savepoint: 'file:///sp-5',
    result: { outputs: [{ name: 'days' }], artefacts: { savepoint: 'file:///sp-5' } },
  })
})

test('finished after its last savepoint by a script that has an end: succeeded', async () => {
  state = 'FINISHED'
  checkpoints = { completed: point(6, 'file:///chk-6'), savepoint: point(5, 'file:///sp-5') }
  expect(await engine().status(streaming())).toMatchObject({ state: 'succeeded' })
})

test.for([
  [
    'a failed one',
    'FAILED',
    { completed: point(4, 'file:///chk-4'), savepoint: point(2, 'file:///sp-2') },
    'file:///chk-4',
  ],
  ['one that was cancelled at Flink', 'CANCELED', { completed: null, savepoint: null }, null],
] as const)('%s names the checkpoint that the next attempt goes on from', async ([, ended, latest, checkpoint]) => {
  state = ended
  checkpoints = latest
  expect(await engine().status(streaming())).toMatchObject({ state: 'failed', checkpoint })
})

test('the program is the script and the options of its job file', async () => {
  const first = await engine().streaming.program(streaming())
  expect(await engine().streaming.program(streaming())).toBe(first)
  expect(await engine().streaming.program(streaming({}, { a: 'b' }))).not.toBe(first)
  writeFileSync(SCRIPT, 'INSERT INTO days SELECT 1;\n')
  expect(await engine().streaming.program(streaming())).not.toBe(first)
  rmSync(SCRIPT)
  expect(await engine().streaming.program(streaming())).toBeNull()
})
