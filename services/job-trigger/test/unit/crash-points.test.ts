import type { Run } from '@mesh/shared/core/runs'
import { type CrashGate, createCrashGate } from '@mesh/shared/testing/crash-gate'
import { expect, test } from 'vitest'
import type { JobTrigger } from '../../src/service.ts'
import { commit, job, versions } from '../support/jobs.ts'
import { createWorld, type World } from '../support/world.ts'

/** Lives on as a supervisor would have it: what crashed is started again, once and for all. */
async function live(
  world: World,
  gate: CrashGate,
  scenario: (world: World, alive: () => Promise<void>) => Promise<void>,
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
  await scenario(world, alive)
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
