import { expect, inject, onTestFailed, onTestFinished, test } from 'vitest'
import { seeded } from '../../services/enricher/test/seeded.ts'
import { CUTOVER_WAIT, expectRebuilt, replayUnderKills } from '../faults/enricher/replay.ts'
import { ORDERS } from '../faults/enricher/streams.ts'
import { startFaultWorld } from '../faults/enricher/world.ts'

/** `MESH_FAULT_SEED=17` repeats the run of that seed. */
const SEED = Number(process.env['MESH_FAULT_SEED'] ?? Date.now() % 10_000)
const MEMBERS = ['enricher-a', 'enricher-b']

test(`a replay and its cutover under exactly-once while orders flow and enrichers are killed, seed ${SEED}`, async () => {
  const command = `MESH_FAULT_SEED=${SEED} npm test -- tests/e2e/exact-replay.test.ts`
  onTestFailed(() => console.error(`[faults] seed ${SEED} failed; to repeat: ${command}`))
  const env = { MESH_REPLAYER_CUTOVER_WAIT: CUTOVER_WAIT }
  const world = await startFaultWorld({
    cacheDir: inject('stackCache'),
    seed: SEED,
    members: MEMBERS,
    sinks: true,
    env,
  })
  onTestFinished(() => world.stop(), 120_000)
  const round = await world.beginRound('a replay')
  try {
    await round.progress(600, 'a history')
    const job = await replayUnderKills(world, { stream: ORDERS.exact, members: MEMBERS, random: seeded(SEED) })
    expect(job).toMatchObject({ state: 'CUTOVER', version: 2 })
  } catch (error) {
    await round.load.stop()
    throw error
  }
  // Version 2 equals a recomputation of raw: outputs, dead letters, books, order per key, nothing twice.
  await round.close()
  expect((await world.mesh.versions(ORDERS.exact)).live).toBe(2)
  await expectRebuilt(world, ORDERS.exact, { former: 1, rebuilt: 2 })
}, 1_800_000)
