import { MeshError } from '@mesh/shared/core/errors'
import type { Run } from '@mesh/shared/core/runs'
import { expect, onTestFinished, test } from 'vitest'
import { begin, putBack, succeed, supersede } from '../../src/core/run-state.ts'
import { createRunTable } from '../../src/core/run-table.ts'
import { NEVER_STREAMED } from '../../src/core/streaming.ts'
import { createRunWriter, type RunWriter } from '../../src/run-writer.ts'
import type { JobTrigger } from '../../src/service.ts'
import { commit, job, run, versions } from '../support/jobs.ts'
import { createWorld, type World } from '../support/world.ts'

/** A job that streams whose submission hangs until it is let go. */
async function submitting(): Promise<{ world: World; trigger: JobTrigger; letGo: PromiseWithResolvers<void> }> {
  const world = await createWorld([job({ streaming: true })])
  const letGo = Promise.withResolvers<void>()
  world.engine.behave = () => 'hold'
  world.engine.compiled = letGo.promise
  await world.versions(versions())
  const trigger = await world.start()
  await world.commits(commit(10))
  await world.until(() => world.engine.begun.length === 1)
  return { world, trigger, letGo }
}

test('a stop is answered and on mesh.runs while the submission is under way, and carried out after it', async () => {
  const { world, trigger, letGo } = await submitting()
  onTestFinished(() => world.kill(trigger))
  const answer = await trigger.stopStream('gold')
  expect(answer).toMatchObject({ state: 'running', streaming: { stop: { reason: 'asked' }, engineState: null } })
  expect(world.runs()[0]).toEqual(answer)
  // Asked again, it is the same request.
  expect(await trigger.stopStream('gold')).toEqual(answer)
  letGo.resolve()
  await world.until(() => world.runs()[0]!.state === 'stopped')
  expect(world.runs()[0]).toMatchObject({
    attempt: 1,
    streaming: { recoverFrom: `savepoint-of-${answer.id}.1`, stop: answer.streaming!.stop },
  })
  await trigger.resumeStream('gold', null)
  await world.until(() => world.engine.begun.length === 2)
  await world.until(() => world.runs()[0]!.streaming!.engineState === 'RUNNING')
  await world.pass(2000)
  expect(world.runs()[0]).toMatchObject({ state: 'running', attempt: 2, streaming: { stop: null } })
})

test('a stop outlives a submission whose engine goes away: nothing is submitted again', async () => {
  const { world, trigger, letGo } = await submitting()
  onTestFinished(() => world.kill(trigger))
  await trigger.stopStream('gold')
  world.engine.away = true
  letGo.reject(new MeshError('MESH_JOB_ENGINE_AWAY', 'nobody listens'))
  await world.until(() => world.runs()[0]!.state === 'stopped')
  world.engine.away = false
  await world.pass(5000)
  expect(world.engine.begun).toHaveLength(1)
})

test('a job-trigger killed between the answer and the end of the submission: the next one stops the job', async () => {
  const { world, trigger, letGo } = await submitting()
  const { id } = await trigger.stopStream('gold')
  const dies = world.kill(trigger)
  letGo.resolve()
  await dies
  const next = await world.start()
  onTestFinished(() => world.kill(next))
  await world.until(() => world.runs()[0]!.state === 'stopped')
  expect(world.runs()[0]).toMatchObject({ attempt: 1, streaming: { recoverFrom: `savepoint-of-${id}.1` } })
  expect(world.engine.begun).toHaveLength(1)
})

const NOTHING = { outputs: [], artefacts: {}, message: null }
const STOP = { at: '2026-01-01T00:00:00.000Z', reason: 'asked' as const }
const stopOf = (run: Run | undefined): unknown => run?.streaming?.stop

/** Of a job with one planned run that streams; each write waits until it is let through. */
function writing(): { writer: RunWriter; planned: Run; written: Run[]; letThrough: () => void } {
  const planned = run('r1', { streaming: NEVER_STREAMED })
  const written: Run[] = []
  const gates: (() => void)[] = []
  const putRun = async (record: Run): Promise<void> => {
    await new Promise<void>((resolve) => gates.push(resolve))
    written.push(record)
  }
  const table = createRunTable([planned], [])
  const store = { putRun, dropRun: async () => {} }
  const writer = createRunWriter({ job: planned.job, table, store, keepRuns: 5, entered() {} })
  return { writer, planned, written, letThrough: () => gates.shift()?.() }
}

test.for([
  ['is on top of it', (planned: Run) => begin(planned, 0), ['running', STOP]],
  [
    'is not on a run that has ended by it',
    (planned: Run) => succeed(begin(planned, 0), NOTHING, 1),
    ['succeeded', null],
  ],
] as const)('a request while a record is being written %s', async ([, change, [state, stop]]) => {
  const { writer, planned, written, letThrough } = writing()
  const saving = writer.save(change(planned))
  let seen: Run | undefined
  const asking = writer.write(() => {
    seen = written.at(-1)!
    return seen.state === 'running' ? writer.withStop(seen, STOP) : seen
  })
  await Promise.resolve()
  // Not decided upon what is about to be out of date.
  expect(seen).toBeUndefined()
  letThrough()
  await saving
  await Promise.resolve()
  letThrough()
  await asking
  await writer.settled()
  expect([written.at(-1)!.state, stopOf(written.at(-1))]).toEqual([state, stop])
})

test("a driver's older record does not take the stop back, and the driver is told of it once", async () => {
  const { writer, planned, written, letThrough } = writing()
  const pass = setInterval(letThrough, 1)
  onTestFinished(() => clearInterval(pass))
  const begun = begin(planned, 0)
  await writer.write(() => writer.withStop(begun, STOP))
  await writer.save(putBack(begun, { code: 'MESH_JOB_ENGINE_AWAY', message: 'away' }, 0, 1))
  expect(written.map(stopOf)).toEqual([STOP, STOP])
  expect([writer.takeStop(planned.id), writer.takeStop(planned.id)]).toEqual([STOP, null])
  // A savepoint that failed: the driver takes it back.
  await writer.save(begun)
  expect(stopOf(written.at(-1))).toBeNull()
})

test('the stop of a run whose place another one takes is that one’s', async () => {
  const { writer, planned, written, letThrough } = writing()
  const pass = setInterval(letThrough, 1)
  onTestFinished(() => clearInterval(pass))
  await writer.write(() => writer.withStop(planned, STOP))
  await writer.save({ ...planned, id: 'other', seq: planned.seq + 1 })
  await writer.save(supersede(planned, 0))
  expect(written.at(-1)!.state).toBe('superseded')
  expect([writer.takeStop(planned.id), writer.takeStop('other')]).toEqual([null, STOP])
})
