import { expect, onTestFinished, test } from 'vitest'
import type { JobTrigger } from '../../src/service.ts'
import { commit, job, versions } from '../support/jobs.ts'
import { createWorld, type World } from '../support/world.ts'

const STREAMS = job({ streaming: true })

async function started(jobs = [STREAMS]): Promise<{ world: World; trigger: JobTrigger }> {
  const world = await createWorld(jobs)
  world.engine.behave = () => 'hold'
  await world.versions(versions())
  const trigger = await world.start()
  await world.until(() => trigger.readiness().detail['active'] === true)
  onTestFinished(() => world.kill(trigger))
  return { world, trigger }
}

async function streaming(world: World): Promise<void> {
  await world.commits(commit(10))
  await world.until(() => world.runs()[0]?.streaming?.engineState === 'RUNNING')
}

test('the first input begins one run, and what comes later is read by it', async () => {
  const { world, trigger } = await started()
  expect(trigger.list().jobs[0]).toMatchObject({ open: [], last: null })
  await streaming(world)
  await world.commits(commit(20), commit(5, { partition: 1 }))
  await world.pass(120_000)
  expect(world.engine.begun).toHaveLength(1)
  expect(world.runs()).toMatchObject([{ state: 'running', vector: [{ from: 0 }], streaming: { recoverFrom: null } }])
  expect(trigger.list().jobs[0]!.pendingOffsets).toBe(0)
  expect(trigger.readiness().detail['streaming']).toEqual([
    { job: 'gold', run: world.runs()[0]!.id, state: 'RUNNING', watched: true },
  ])
})

test('a stop ends it with a savepoint that is on mesh.runs, and a resume goes on from there as the next attempt', async () => {
  const { world, trigger } = await started()
  await streaming(world)
  const asking = trigger.stopStream('gold')
  await world.until(() => world.runs()[0]!.state === 'stopped')
  const { id } = await asking
  expect(world.runs()[0]).toMatchObject({
    state: 'stopped',
    streaming: { recoverFrom: `savepoint-of-${id}.1` },
    result: { artefacts: { savepoint: `savepoint-of-${id}.1` } },
  })
  await world.commits(commit(30))
  await world.pass(60_000)
  expect(world.engine.begun).toHaveLength(1)

  await trigger.resumeStream('gold', null)
  await world.until(() => world.engine.begun.length === 2)
  expect(world.engine.begun[1]).toMatchObject({
    id: `${id}.2`,
    run: { id, streaming: { recoverFrom: `savepoint-of-${id}.1`, stop: null } },
  })
})

test.for([
  ['stopping what never streamed', (trigger: JobTrigger) => trigger.stopStream('gold'), /nothing that streams/],
  ['resuming what never streamed', (trigger: JobTrigger) => trigger.resumeStream('gold', null), /nothing has streamed/],
] as const)('%s is refused', async ([, ask, message]) => {
  const { world, trigger } = await started()
  // Jobs are there a moment after the partition is.
  let refused: { code: string; message: string } | null = null
  await world.until(() => {
    void ask(trigger).catch((error: typeof refused) => {
      refused = error
    })
    return refused !== null && refused.code !== 'MESH_JOB_UNKNOWN'
  })
  expect(refused).toMatchObject({ code: 'MESH_JOB_STREAMING', message: expect.stringMatching(message) })
})

test('while it streams it is neither begun anew nor resumed; once stopped it is begun anew in full only', async () => {
  const { world, trigger } = await started()
  await streaming(world)
  const refused = { code: 'MESH_JOB_STREAMING' }
  await expect(trigger.request('gold', true)).rejects.toMatchObject(refused)
  await expect(trigger.resumeStream('gold', null)).rejects.toMatchObject(refused)
  void trigger.stopStream('gold')
  await world.until(() => world.runs()[0]!.state === 'stopped')
  await expect(trigger.stopStream('gold')).rejects.toMatchObject(refused)
  await expect(trigger.request('gold', false)).rejects.toMatchObject(refused)
  void trigger.request('gold', true)
  await world.until(() => world.engine.begun.length === 2)
  expect(world.runs()[1]).toMatchObject({ full: true, trigger: 'manual', streaming: { recoverFrom: null } })
  expect(world.runs()[1]!.id).not.toBe(world.runs()[0]!.id)
})

test('a failed attempt is followed by one from its checkpoint; each checkpoint makes the retries begin anew', async () => {
  const { world } = await started()
  await streaming(world)
  const { id } = world.runs()[0]!
  for (let attempt = 1; attempt <= 5; attempt++) {
    world.engine.checkpoints.set(`${id}.${attempt}`, `chk-${attempt}`)
    world.engine.finish(`${id}.${attempt}`, 'fail')
    await world.until(() => world.engine.begun.length === attempt + 1)
    expect(world.engine.begun.at(-1)!.run.streaming!.recoverFrom).toBe(`chk-${attempt}`)
    await world.until(() => world.runs()[0]!.streaming!.engineState === 'RUNNING')
  }
  // The same record again and again: no checkpoint is made any more.
  for (const attempt of [6, 7]) {
    await world.until(() => world.engine.begun.length === attempt)
    world.engine.finish(`${id}.${attempt}`, 'fail')
  }
  await world.until(() => world.runs()[0]!.state === 'dead')
  expect(world.runs()[0]).toMatchObject({ failures: 3, attempt: 7, streaming: { recoverFrom: 'chk-5' } })
})

test('a job that its engine has forgotten is not begun again from what is known, but waits for a person', async () => {
  const { world, trigger } = await started()
  await streaming(world)
  const { id } = world.runs()[0]!
  // One that comes up again may answer before it has recovered its jobs.
  const recover = world.engine.forget(`${id}.1`)
  await world.pass(400)
  recover()
  await world.pass(5000)
  expect(world.runs()[0]!.state).toBe('running')
  world.engine.forget(`${id}.1`)
  await world.until(() => world.runs()[0]!.state === 'dead')
  expect(world.runs()[0]!.error).toMatchObject({ code: 'MESH_JOB_LOST' })
  await expect(trigger.retry(id)).rejects.toMatchObject({ message: expect.stringMatching(/name a checkpoint/) })
  await trigger.resumeStream('gold', 'chk-9')
  await world.until(() => world.engine.begun.length === 2)
  expect(world.engine.begun[1]!.run.streaming!.recoverFrom).toBe('chk-9')
})

test('a savepoint that cannot be taken leaves the job streaming, with the reason in sight until the next stop', async () => {
  const { world, trigger } = await started()
  await streaming(world)
  world.engine.savepoints = 'no disk'
  void trigger.stopStream('gold')
  await world.until(() => world.runs()[0]!.error !== null)
  await world.pass(5000)
  expect(world.runs()[0]).toMatchObject({
    state: 'running',
    streaming: { stop: null },
    error: { message: expect.stringMatching(/streams on: no disk/) },
  })
  world.engine.savepoints = 'good'
  void trigger.stopStream('gold')
  await world.until(() => world.runs()[0]!.state === 'stopped')
  expect(world.runs()[0]!.error).toBeNull()
})

test('a cutover stops it with a savepoint and begins a run in full over the version that is live', async () => {
  const { world } = await started()
  await streaming(world)
  await world.commits(commit(7, { version: 2 }))
  await world.versions(versions('flights', 2, 1))
  await world.until(() => world.engine.begun.length === 2)
  const [before, after] = world.runs()
  expect(before).toMatchObject({ state: 'stopped', streaming: { stop: { reason: 'cutover' } } })
  expect(after).toMatchObject({ trigger: 'cutover', full: true, vector: [{ version: 2, from: 0 }] })
})

test('what a person has stopped stays stopped over a cutover, and is not resumed over the old version', async () => {
  const { world, trigger } = await started()
  await streaming(world)
  void trigger.stopStream('gold')
  await world.until(() => world.runs()[0]!.state === 'stopped')
  await world.versions(versions('flights', 2, 1))
  await world.commits(commit(7, { version: 2 }))
  await world.pass(10_000)
  expect(world.engine.begun).toHaveLength(1)
  await expect(trigger.resumeStream('gold', null)).rejects.toMatchObject({ message: expect.stringMatching(/not live/) })
})

test('a program that has changed is said and not acted upon; resumed, the job has the new one', async () => {
  const { world, trigger } = await started()
  await streaming(world)
  world.engine.programText = 'other'
  await world.until(() => world.runs()[0]!.streaming!.changed)
  expect(world.runs()[0]).toMatchObject({ state: 'running', result: { message: expect.stringMatching(/has changed/) } })
  void trigger.stopStream('gold')
  await world.until(() => world.runs()[0]!.state === 'stopped')
  await trigger.resumeStream('gold', null)
  await world.until(() => world.engine.begun.length === 2)
  expect(world.engine.begun[1]!.run.streaming).toMatchObject({ program: 'other', changed: false })
})

test('a stop while the engine is away or a retry waits needs no savepoint: the newest known one stays', async () => {
  const { world, trigger } = await started([
    { ...STREAMS, retries: { attempts: 9, backoffMs: 600_000, maxBackoffMs: 600_000 } },
  ])
  await streaming(world)
  const { id } = world.runs()[0]!
  world.engine.checkpoints.set(`${id}.1`, 'chk-1')
  world.engine.finish(`${id}.1`, 'fail')
  await world.until(() => world.runs()[0]!.state === 'failed')
  void trigger.stopStream('gold')
  await world.pass(2000)
  expect(world.runs()[0]).toMatchObject({ state: 'stopped', streaming: { recoverFrom: 'chk-1' } })
})
