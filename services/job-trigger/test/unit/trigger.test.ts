import { expect, onTestFinished, test } from 'vitest'
import type { JobTrigger } from '../../src/service.ts'
import { commit, job, versions } from '../support/jobs.ts'
import { createWorld, type World } from '../support/world.ts'

async function started(jobs = [job()]): Promise<{ world: World; trigger: JobTrigger }> {
  const world = await createWorld(jobs)
  await world.versions(versions())
  const trigger = await world.start()
  onTestFinished(() => world.kill(trigger))
  return { world, trigger }
}

/** [from, to) of every range of a run. */
const spans = (run: { vector: readonly { from: number; to: number }[] }): number[][] =>
  run.vector.map(({ from, to }) => [from, to])

test('commit events that come together make one run over exactly their offsets', async () => {
  const { world } = await started()
  await world.commits(commit(10), commit(10), commit(20), commit(5, { partition: 1 }))
  await world.until(() => world.engine.done.length === 1)
  const [execution] = world.engine.done
  expect(spans(execution!.run)).toEqual([
    [0, 20],
    [0, 5],
  ])
  expect(execution!.input.streams['flights']).toMatchObject({
    version: 1,
    rows: [
      { partition: 0, afterOffset: -1, uptoOffset: 19 },
      { partition: 1, afterOffset: -1, uptoOffset: 4 },
    ],
  })
  await world.commits(commit(20), commit(21))
  await world.until(() => world.engine.done.length === 2)
  expect(spans(world.engine.done[1]!.run)).toEqual([[20, 21]])
  expect(world.engine.done[1]!.input.streams['flights']!.asOf).toHaveLength(2)
  expect(world.fatals).toEqual([])
})

test('an engine that is away makes its runs wait in sight, other jobs go on, and on its return there is one run with everything', async () => {
  const { world, trigger } = await started([job(), job({ name: 'other', engine: 'dbt' })])
  world.engine.away = true
  await world.commits(commit(10))
  await world.until(() => trigger.list().jobs.every(({ open }) => open[0]?.error?.code === 'MESH_JOB_ENGINE_AWAY'))
  expect(trigger.list().jobs[0]!.open[0]).toMatchObject({ state: 'planned', attempt: 0, failures: 0 })
  for (const next of [20, 30, 40]) {
    await world.commits(commit(next))
    await world.pass(3000)
  }
  world.engine.away = false
  await world.until(() => world.engine.done.length === 2)
  expect(world.engine.done.map(({ run }) => [run.job, spans(run)])).toEqual(
    expect.arrayContaining([
      ['gold', [[0, 40]]],
      ['other', [[0, 40]]],
    ]),
  )
  expect(world.engine.begun).toHaveLength(2)
  expect(new Set(world.runs().map(({ state }) => state))).toEqual(new Set(['superseded', 'succeeded']))
})

test('a failing run is tried again over the same vector, then it is dead, and later input goes on in another', async () => {
  const { world, trigger } = await started()
  world.engine.behave = ({ run }) => (run.vector[0]?.from === 0 ? 'fail' : 'succeed')
  await world.commits(commit(10))
  await world.until(() => world.engine.begun.length === 1)
  await world.commits(commit(20))
  await world.until(() => world.engine.done.length === 1)
  expect(world.engine.begun.map(({ id }) => id.split('.')[2])).toEqual(['1', '2', '3', '1'])
  expect(new Set(world.engine.begun.slice(0, 3).map(({ run }) => run.id)).size).toBe(1)
  const [dead, next] = world.runs()
  expect(dead).toMatchObject({ state: 'dead', failures: 3, error: { code: 'MESH_JOB_FAILED' } })
  expect(spans(next!)).toEqual([[10, 20]])
  expect(trigger.list().jobs[0]!.dead).toEqual([dead!.id])

  // Put right by hand: the same vector again, and it may read all that came since.
  world.engine.behave = () => 'succeed'
  await trigger.retry(dead!.id)
  await world.until(() => world.engine.done.length === 2)
  const again = world.engine.done[1]!
  expect([again.run.id, again.id.split('.')[2], spans(again.run)]).toEqual([dead!.id, '4', [[0, 10]]])
  expect(again.input.streams['flights']!.asOf[0]!.uptoOffset).toBe(19)
  await expect(trigger.retry(dead!.id)).rejects.toMatchObject({ code: 'MESH_JOB_NOT_DEAD' })
})

test('a run that takes too long is ended and counts as failed', async () => {
  const { world } = await started([job({ timeoutMs: 5000, retries: { attempts: 1, backoffMs: 1, maxBackoffMs: 1 } })])
  world.engine.behave = () => 'hold'
  await world.commits(commit(10))
  await world.until(() => world.runs()[0]?.state === 'dead')
  expect(world.runs()[0]!.error).toMatchObject({ code: 'MESH_JOB_TIMEOUT' })
})

test('a cutover makes one full run over the version that is live, and a candidate before it makes none', async () => {
  const { world } = await started()
  await world.commits(commit(10))
  await world.until(() => world.engine.done.length === 1)
  await world.versions(versions('flights', 1, 0, 2))
  await world.commits(commit(9, { version: 2 }))
  await world.pass(2000)
  expect(world.engine.begun).toHaveLength(1)
  await world.versions(versions('flights', 2, 1))
  await world.until(() => world.engine.done.length === 2)
  expect(world.engine.done[1]!.input).toMatchObject({
    trigger: 'cutover',
    full: true,
    streams: { flights: { version: 2 } },
  })
  expect(spans(world.engine.done[1]!.run)).toEqual([[0, 9]])
  await world.commits(commit(12, { version: 2 }), commit(99))
  await world.until(() => world.engine.done.length === 3)
  expect(spans(world.engine.done[2]!.run)).toEqual([[9, 12]])
})

test('a full run that dies is not built upon: what comes next is full again', async () => {
  const { world, trigger } = await started()
  await world.commits(commit(10))
  await world.until(() => world.engine.done.length === 1)
  world.engine.behave = () => 'fail'
  void trigger.request('gold', true)
  await world.until(() => world.runs().at(-1)?.state === 'dead')
  world.engine.behave = () => 'succeed'
  await world.commits(commit(20))
  await world.until(() => world.engine.done.length === 2)
  expect(world.engine.done[1]!.input).toMatchObject({ trigger: 'commit', full: true })
  expect(spans(world.engine.done[1]!.run)).toEqual([[0, 20]])
})

test('a job that asks for replays runs for a candidate too, apart from the live version', async () => {
  const { world } = await started([job({ replays: true })])
  await world.versions(versions('flights', 1, 0, 2))
  await world.commits(commit(10), commit(7, { version: 2 }))
  await world.until(() => world.engine.done.length === 2)
  expect(
    world.engine.done.map(({ input }) => [input.candidate, input.streams['flights']!.version, input.vector.length]),
  ).toEqual([
    [false, 1, 1],
    [true, 2, 1],
  ])
})

test('a schedule runs with or without input, once for several missed instants, and takes what is pending with it', async () => {
  const hourly = job({
    schedule: { cron: '0 * * * *', zone: 'UTC' },
    coalesce: { quietMs: 600_000, maxWaitMs: 900_000, minIntervalMs: 0 },
  })
  const { world, trigger } = await started([hourly])
  await world.until(() => trigger.list().jobs[0]!.nextScheduleAt !== null, 0)
  world.clock.advance(3 * 3_600_000 + 60_000)
  await world.until(() => world.engine.done.length === 1, 0)
  expect(world.engine.done[0]!.input).toMatchObject({
    trigger: 'schedule',
    scheduledAt: '2026-03-01T03:00:00.000Z',
    vector: [],
  })
  // Input and the schedule at once: one run.
  world.clock.advance(58 * 60_000)
  await world.commits(commit(10))
  await world.pass(100)
  world.clock.advance(60_000)
  await world.until(() => world.engine.done.length === 2, 0)
  expect(spans(world.engine.done[1]!.run)).toEqual([[0, 10]])
  expect(trigger.list().jobs[0]!.pendingOffsets).toBe(0)
})

test('two instances: one works, the other takes over where it stopped, and no vector runs twice', async () => {
  const world = await createWorld([job()])
  await world.versions(versions())
  const first = await world.start()
  await world.commits(commit(10))
  await world.until(() => world.engine.done.length === 1)
  const second = await world.start()
  await world.pass(500)
  const [active, standby] = first.readiness().detail['active'] === true ? [first, second] : [second, first]
  expect(standby.readiness().detail['active']).toBe(false)
  await expect(standby.request('gold', false)).rejects.toMatchObject({ code: 'MESH_JOB_STANDBY' })
  world.engine.behave = () => 'hold'
  await world.commits(commit(20))
  await world.until(() => world.engine.begun.length === 2)
  await world.kill(active)
  await world.until(() => standby.readiness().detail['active'] === true)
  world.engine.behave = () => 'succeed'
  world.engine.finish(world.engine.begun[1]!.id, 'succeed')
  await world.until(() => world.runs().every(({ state }) => state === 'succeeded'))
  await world.commits(commit(30))
  await world.until(() => world.engine.done.length === 3)
  expect(world.engine.begun.map(({ run }) => spans(run))).toEqual([[[0, 10]], [[10, 20]], [[20, 30]]])
  expect(world.fatals).toEqual([])
  await world.kill(standby)
})

test('a replaced member that writes all the same is found out, and ends', async () => {
  const { world } = await started()
  await world.commits(commit(5))
  await world.until(() => world.engine.done.length === 1)
  const producer = await world.kafka.producer()
  await producer.send('mesh.runs', [{ partition: 0, key: null, value: null, headers: [] }])
  await world.commits(commit(10))
  await world.until(() => world.fatals.length > 0)
  expect(world.fatals[0]).toContain('was written where')
})
