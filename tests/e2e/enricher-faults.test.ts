import { API } from '@mesh/shared/testing/kafka-proxy'
import { expect, inject, onTestFailed, onTestFinished, test } from 'vitest'
import { seeded } from '../../services/enricher/test/seeded.ts'
import { killInMidWork, loseRequests } from '../faults/enricher/losses.ts'
import { startFaultWorld } from '../faults/enricher/world.ts'

/** `MESH_FAULT_SEED=17` repeats the run of that seed. The whole suite: docs/faults.md. */
const SEED = Number(process.env['MESH_FAULT_SEED'] ?? Date.now() % 10_000)
const MEMBER = 'enricher-a'

test(`killed in mid-work and without the answer to an EndTxn, both guarantees equal raw, seed ${SEED}`, async () => {
  const command = `MESH_FAULT_SEED=${SEED} npm test -- tests/e2e/enricher-faults.test.ts`
  onTestFailed(() => console.error(`[faults] seed ${SEED} failed; to repeat: ${command}`))
  const random = seeded(SEED)
  const world = await startFaultWorld({ cacheDir: inject('stackCache'), seed: SEED, members: [MEMBER], sinks: false })
  onTestFinished(() => world.stop(), 60_000)
  const round = await world.beginRound('a kill and a lost EndTxn')
  try {
    const loss = async (): Promise<void> =>
      loseRequests(world, [MEMBER], { apiKey: API.endTxn, verdicts: ['cut-after'], times: 1 })
    const kill = async (): Promise<void> => killInMidWork(world, round, MEMBER, random)
    for (const fault of random.chance(0.5) ? [loss, kill] : [kill, loss]) {
      await round.progress(20, 'the orders to flow')
      await fault()
    }
    await round.progress(50, 'work to go on after the faults')
  } catch (error) {
    await round.load.stop()
    throw error
  }
  await round.close()
  expect(world.fleet.deaths(MEMBER)).toBeGreaterThan(0)
}, 600_000)
