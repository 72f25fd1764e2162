import type { Run } from '@mesh/shared/core/runs'
import { type CrashGate, createCrashGate } from '@mesh/shared/testing/crash-gate'
import { expect, test } from 'vitest'
import type { JobTrigger } from '../../src/service.ts'
import { commit, job, versions } from '../support/jobs.ts'
import { createWorld, type World } from '../support/world.ts'

/** Starts anew what crashed; the one that lives. */
type Alive = { readonly alive: () => Promise<void>; readonly trigger: () => JobTrigger | null }

/** Lives on as a supervisor would have it: what crashed is started again, once and for all. */
async function live(
  world: World,
  gate: CrashGate,
  scenario: (world: World, alive: Alive['alive'], current: Alive['trigger']) => Promise<void>,
): Promise<void> {
  let trigger: JobTrigger | null = await world.start(gate).catch(() => null)
  let restarted = false
  async function alive(): Promise<void> {
    if (restarted || (trigger !== null && !gate.crashed)) return
    restarted = true
    if (trigger) await world.kill(trigger)
    trigger = await world.start()
  }
  await alive()
  await scenario(world, alive, () => trigger)
  if (trigger) await world.kill(trigger)
}

async function untilAlive(world: World, alive: () => Promise<void>, condition: () => boolean): Promise<void> {
  for (let looks = 0; looks < 500; looks++) {
    await alive()
    if (condition()) return
    await world.pass(20)
  }
  throw new Error(
    `never: ${condition.toString()}: ${JSON.stringify(world.runs().map((run) => [run.id, run.state, run.error]))}`,
  )
}

/** The ranges of partition 0 that runs ended well over, in order. */
const spans = (runs: readonly { run: Run }[]): number[][] =>
  runs.flatMap(({ run }) => run.vector.map(({ from, to }) => [from, to])).sort((a, b) => a[0]! - b[0]!)

function expectTiled(world: World, to: number, point: string): void {
  const done = spans(world.engine.done)
  expect(done.at(-1)?.[1], point).toBe(to)
  let stands = 0
  for (const [from, end] of done) {
    // A gap is a missed commit event, an overlap is input that ran twice.
    expect(from, `${point}: ${JSON.stringify(done)}`).toBe(stands)
    stands = end!
  }
  const ids = world.engine.begun.map(({ id }) => id)
  expect(new Set(ids).size, point).toBe(ids.length)
}

async function crashEverywhere(scenario: Parameters<typeof live>[2], to: number, least: number): Promise<void> {
  for (let at = 1; ; at++) {
    const world = await createWorld([job()])
    await world.versions(versions())
    const gate = createCrashGate(at)
    await live(world, gate, scenario)
    expectTiled(world, to, `crash at passage ${at}`)
    expect(
      world.runs().filter(({ state }) => state === 'running' || state === 'planned'),
      `crash at passage ${at}`,
    ).toEqual([])
    if (!gate.crashed) {
      expect(at).toBeGreaterThan(least)
      return
    }
  }
}

test('a crash at any step: every commit event is in exactly one run that ended well', async () => {
  await crashEverywhere(
    async (world, alive) => {
      await world.commits(commit(10), commit(10))
      await untilAlive(world, alive, () => world.engine.done.length >= 1)
      await world.commits(commit(10), commit(20))
      await untilAlive(world, alive, () => spans(world.engine.done).at(-1)?.[1] === 20)
      await world.commits(commit(30))
      await untilAlive(
        world,
        alive,
        () => world.runs().at(-1)?.vector[0]?.to === 30 && world.runs().every(({ state }) => state === 'succeeded'),
      )
    },
    30,
    20,
  )
}, 120_000)

test('a crash at any step while a model fails and the engine is away', async () => {
  await crashEverywhere(
    async (world, alive) => {
      world.engine.behave = ({ run }) => (run.attempt === 1 ? 'fail' : 'succeed')
      await world.commits(commit(10))
      await untilAlive(world, alive, () => world.engine.done.length >= 1)
      world.engine.away = true
      await world.commits(commit(20))
      await untilAlive(world, alive, () => world.runs().some(({ error }) => error?.code === 'MESH_JOB_ENGINE_AWAY'))
      await world.commits(commit(30))
      await world.pass(2000)
      world.engine.away = false
      await untilAlive(world, alive, () => spans(world.engine.done).at(-1)?.[1] === 30)
      const settled = ['succeeded', 'superseded']
      await untilAlive(world, alive, () => world.runs().every(({ state }) => settled.includes(state)))
    },
    30,
    30,
  )
}, 120_000)

test('a crash at any step of a job that streams: one submission per attempt, and a resume from the savepoint of its stop', async () => {
  for (let at = 1; ; at++) {
    const world = await createWorld([job({ streaming: true })])
    world.engine.behave = () => 'hold'
    await world.versions(versions())
    const gate = createCrashGate(at)
    const ask = async (
      what: (trigger: JobTrigger) => Promise<unknown>,
      done: () => boolean,
      of: Alive,
    ): Promise<void> => {
      // Who asks and gets no answer asks again; a request that was written down is refused then.
      await untilAlive(world, of.alive, () => {
        if (!done() && of.trigger()?.readiness().detail['active'] === true) void what(of.trigger()!).catch(() => {})
        return done()
      })
    }
    await live(world, gate, async (_, alive, trigger) => {
      const of = { alive, trigger }
      await world.commits(commit(10))
      await untilAlive(world, alive, () => world.runs()[0]?.streaming?.engineState === 'RUNNING')
      await ask(
        (each) => each.stopStream('gold'),
        () => world.runs()[0]!.state === 'stopped',
        of,
      )
      await ask(
        (each) => each.resumeStream('gold', null),
        () => world.engine.begun.length === 2,
        of,
      )
      await untilAlive(world, alive, () => world.runs()[0]!.streaming!.engineState === 'RUNNING')
    })
    const [run, ...others] = world.runs()
    expect(others, `crash at passage ${at}`).toEqual([])
    expect(
      world.engine.begun.map(({ id, run: { streaming } }) => [id, streaming!.recoverFrom]),
      `crash at passage ${at}`,
    ).toEqual([
      [`${run!.id}.1`, null],
      [`${run!.id}.2`, `savepoint-of-${run!.id}.1`],
    ])
    if (!gate.crashed) {
      expect(at).toBeGreaterThan(12)
      return
    }
  }
}, 120_000)
