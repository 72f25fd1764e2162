import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseDuration } from '@mesh/shared/core/duration'
import { rawTopic } from '@mesh/shared/core/topics'
import { API } from '@mesh/shared/testing/kafka-proxy'
import { afterAll, beforeAll, describe, expect, it, onTestFailed } from 'vitest'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { seeded } from '../../services/enricher/test/seeded.ts'
import { createPatientSend, poison } from './enricher/load.ts'
import { killInMidWork, loseRequests, signalRunning } from './enricher/losses.ts'
import { stormOfMembers } from './enricher/storms.ts'
import { ORDERS, STREAMS } from './enricher/streams.ts'
import { type FaultWorld, type Round, startFaultWorld } from './enricher/world.ts'

/** `MESH_FAULT_SEED=17` repeats the run of that seed, `MESH_FAULT_PAUSE=60s` stops processes for so long. */
const SEED = Number(process.env['MESH_FAULT_SEED'] ?? Date.now() % 10_000)
const PAUSE_MS = parseDuration(process.env['MESH_FAULT_PAUSE'] ?? '12s')
const KILLS = 4
const STORM = 8
const [A, B, THIRD] = ['enricher-a', 'enricher-b', 'enricher-c'] as const
const COMMAND = `MESH_FAULT_SEED=${SEED} npm run faults -- tests/faults/enricher.test.ts`

describe(`two enrichers and both guarantees under faults, seed ${SEED}`, () => {
  let world: FaultWorld
  const random = seeded(SEED)

  beforeAll(async () => {
    if (PAUSE_MS === null)
      throw new Error(`MESH_FAULT_PAUSE=${process.env['MESH_FAULT_PAUSE']} is no duration, e.g. 60s`)
    console.log(`[faults] seed ${SEED}; to repeat: ${COMMAND}`)
    const cacheDir = join(import.meta.dirname, '..', '..', '.mesh', 'cache')
    world = await startFaultWorld({ cacheDir, seed: SEED, members: [A, B, THIRD], sinks: true })
  }, 600_000)
  afterAll(() => world?.stop())

  async function round(name: string, fault: (round: Round) => Promise<void>): Promise<void> {
    onTestFailed(() => console.error(`[faults] seed ${SEED} failed at: ${name}; to repeat: ${COMMAND}`))
    const current = await world.beginRound(name)
    try {
      await current.progress(50, 'the orders to flow')
      await fault(current)
      await current.progress(50, 'work to go on after the fault')
    } catch (error) {
      await current.load.stop()
      throw error
    }
    await current.close()
  }

  it('killed in mid-work, again and again', () =>
    round('SIGKILL', async (current) => {
      for (let n = 0; n < KILLS; n++) await killInMidWork(world, current, random.chance(0.5) ? A : B, random)
    }))

  it('stopped for longer than its session, and then working on as a zombie', () =>
    round('SIGSTOP', async (current) => {
      for (const member of random.chance(0.5) ? [A, B] : [B, A]) {
        await current.progress(30, `outputs before ${member} stands still`)
        await signalRunning(world, member, 'SIGSTOP')
        try {
          await delay(PAUSE_MS!)
          await current.progress(30, `the other to work while ${member} stands still`)
        } finally {
          expect(world.fleet.signal(member, 'SIGCONT')).toBe(true)
        }
      }
    }))

  it('the broker is killed and comes back on its data', () =>
    round('broker', async (current) => {
      await world.mesh.stack.restart('kafka', 'SIGKILL')
      await current.progress(50, 'the enrichers to go on')
      await world.mesh.stack.restart('kafka', 'SIGKILL')
    }))

  it('ends of transactions are lost, with or without their answer', () =>
    round('EndTxn lost', () =>
      loseRequests(world, [A, B], { apiKey: API.endTxn, verdicts: ['cut-after', 'cut-after', 'cut-before'], times: 5 }),
    ))

  it('writes are lost, with or without their answer', () =>
    round('produce lost', () =>
      loseRequests(world, [A, B], {
        apiKey: API.produce,
        verdicts: ['cut-after', 'cut-after', 'cut-before'],
        times: 5,
      }),
    ))

  it('answers never come and the connection stays open', () =>
    round('answers swallowed', async () => {
      await loseRequests(world, [A], { apiKey: API.endTxn, verdicts: ['swallow-answer'], times: 1 })
      await loseRequests(world, [B], { apiKey: API.produce, verdicts: ['swallow-answer'], times: 1 })
    }))

  it('members join and leave every two seconds', () =>
    round('rebalances', async (current) => {
      await world.fleet.join(THIRD)
      expect(await stormOfMembers(world, STORM / 2)).toBeGreaterThan(0)
      await current.progress(1, 'progress in the storm')
      await world.fleet.leave(THIRD)
      await world.fleet.join(THIRD)
      await stormOfMembers(world, STORM / 2)
      await world.fleet.leave(THIRD)
    }))

  it('a storm of poison stops the partition of one cause alone, and a corrected bundle is the way out', () =>
    round('poison', async () => {
      const send = createPatientSend(world.mesh.kafka)
      // No cause has more than half: this partition goes on.
      const mixed = Array.from({ length: 900 }, () => (['bytes', 'schema', 'fine'] as const)[random.below(3)]!)
      const bad = Array.from({ length: 1500 }, () => 'bytes' as const)
      for (const stream of STREAMS) {
        await send(rawTopic(stream), poison(mixed, 1, 'mixed'))
        await send(rawTopic(stream), poison(bad, 0, 'bad'))
      }
      await waitFor(
        async () => {
          const ready = (await Promise.all([A, B].map((member) => world.fleet.readiness(member)))).join('\n')
          return STREAMS.every((stream) => ready.includes(stream)) && ready.includes('MESH_DECODE_JSON') ? true : null
        },
        { what: 'the breaker to open for partition 0 of both streams', timeoutMs: 120_000 },
      )
      for (const stream of STREAMS) {
        const ends = (await world.behind(stream)).map(({ end }) => end)
        await waitFor(
          async () => {
            const passed = (await world.behind(stream)).map(({ end, lag }, p) => end - lag >= ends[p]!)
            return passed.slice(1).every(Boolean) && !passed[0] ? true : null
          },
          { what: `the neighbours in ${stream} to pass the storm while partition 0 stands still`, timeoutMs: 120_000 },
        )
      }
      await world.bind(ORDERS.plain, '  breaker: { share: 1 }\n')
      await world.bind(ORDERS.exact, '  breaker: { share: 1 }\n')
    }))
})
