import { formatHash } from '@mesh/shared/core/books'
import { liveVersion, type StreamVersions } from '@mesh/shared/core/versions'
import { describe, expect, test } from 'vitest'
import { readBooks } from '../../src/core/books-metadata.ts'
import type { RefineCode } from '../../src/core/decide.ts'
import { mortalKafka } from '../crash.ts'
import { type Recomputed, recompute } from '../oracle.ts'
import { ordersLog, srcOf } from '../orders.ts'
import { caughtUp, codesOf, runStream, runToEnd } from '../process.ts'
import { candidateOf, emitReplay, withRestarts } from '../replay.ts'
import { createWorld, type Log, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
const CHANGEOVER = 40

type History = { world: World; state: StreamVersions; candidate: StreamVersions; log: Log; redelivered: number }

/** 60 raw records; the first 40 are on the replay topic, some twice, and the first 30 have left raw. */
async function history(): Promise<History> {
  const world = await createWorld()
  const state = await world.apply('orders', { contract: (c) => ({ ...c, refine: { ...c.refine, joins: [] } }) })
  await world.post(RAW, ordersLog(4, 60))
  const log = await world.rawOf('orders')
  const replayed = withRestarts(log.slice(0, CHANGEOVER), 15, 6)
  const prepared = await candidateOf(world, state, { ends: null, changeover: [CHANGEOVER] })
  const ends = await emitReplay(world, 'orders', replayed, state)
  const candidate = await candidateOf(world, state, { ends, changeover: [CHANGEOVER] })
  expect(prepared.versions[1]!.replay!.topicId).toBe(candidate.versions[1]!.replay!.topicId)
  world.kafka.trim(RAW, 0, 30)
  return { world, state, candidate, log, redelivered: replayed.length - CHANGEOVER }
}

async function oracle({ world, state }: History, log: Log): Promise<Recomputed> {
  const loader = codesOf(world)
  const code: RefineCode = await loader.load(liveVersion(state).bundles[0]!)
  return recompute(log, { topicId: state.rawTopicId, partition: 0 }, { code })
}

async function expectExact(past: History, log: Log, place: string): Promise<void> {
  const expected = await oracle(past, log)
  const books = readBooks((await past.world.committed('orders', 2)).get(0)!.metadata, 'test')
  expect(books.counts, place).toEqual({ ...expected.counts, redelivered: past.redelivered })
  expect(formatHash(books.hash), place).toBe(expected.hash)
  const emitted = expected.fates.flatMap((fate) => (fate.kind === 'ok' ? fate.records.map(srcOf) : []))
  expect(
    (await past.world.refinedOf('orders', 2)).map(({ record }) => srcOf(record)),
    place,
  ).toEqual(emitted)
}

describe('a candidate with a replayed history', { timeout: 600_000 }, () => {
  test('decides the whole history once, from the replay topic and then from raw', async () => {
    const past = await history()
    await runToEnd(past.world, past.candidate, { version: 2 })
    await expectExact(past, past.log, 'straight')
    expect((await oracle(past, past.log)).counts.duplicate).toBeGreaterThan(5)
    const events = (await past.world.commitEvents()).filter((event) => event.version === 2)
    let next = 0
    for (const event of events.filter((e) => e.nextOffset > e.firstOffset)) {
      expect(event.firstOffset).toBe(next)
      next = event.nextOffset
    }
    expect(next).toBe(60)
    await past.world.close()
  })

  test('reads what is there while the replayer still writes, and hands over once the ends are known', async () => {
    const past = await history()
    const { world } = past
    const open = await candidateOf(world, past.state, { ends: null, changeover: [CHANGEOVER] })
    const reading = await runStream(world, open, { version: 2 })
    await expect.poll(async () => (await world.refinedOf('orders', 2)).length).toBeGreaterThan(10)
    await reading.stop()
    expect((await world.committed('orders', 2)).size).toBe(0)
    await runToEnd(world, past.candidate, { version: 2 })
    await expectExact(past, past.log, 'in two steps')
    await world.close()
  })

  test('an empty history hands over at once', async () => {
    const world = await createWorld()
    const state = await world.apply('orders', { contract: (c) => ({ ...c, refine: { ...c.refine, joins: [] } }) })
    const candidate = await candidateOf(world, state, { ends: [0], changeover: [0] })
    const running = await runStream(world, candidate, { version: 2 })
    await expect.poll(async () => (await world.committed('orders', 2)).get(0)?.offset).toBe(0)
    await world.post(RAW, ordersLog(1, 10))
    await caughtUp(world, candidate, running, 2)
    await running.stop()
    expect((await world.refinedOf('orders', 2)).length).toBeGreaterThan(0)
    await world.close()
  })

  test('killed at any point it is exact all the same', async () => {
    const places: string[] = []
    for (let at = 1; ; at++) {
      const past = await history()
      const mortal = mortalKafka(past.world.kafka, at)
      try {
        const running = await runStream(past.world, past.candidate, {
          version: 2,
          kafka: mortal.kafka,
          maxChunkBytes: 4000,
        })
        await caughtUp(past.world, past.candidate, running, 2)
        await running.stop()
      } catch (error) {
        if (!mortal.dead()) throw error
      }
      await mortal.bury()
      await past.world.post(RAW, ordersLog(9, 5))
      const log = [...past.log, ...(await past.world.rawOf('orders')).slice(30)]
      await runToEnd(past.world, past.candidate, { version: 2 })
      await expectExact(past, log, `killed at point ${at}: ${mortal.place()}`)
      await past.world.close()
      if (mortal.place() === null) break
      places.push(mortal.place()!)
    }
    expect(places).toEqual(
      expect.arrayContaining([
        'after process replay.orders.job-1',
        'before committed replay.orders.job-1',
        'before committing a tick of raw.orders.v1',
        'before committed raw.orders.v1',
        'after process raw.orders.v1',
      ]),
    )
  })

  test('goes on after its replay topic was deleted, once raw carries the books', async () => {
    const past = await history()
    const { world } = past
    await runToEnd(world, past.candidate, { version: 2 })
    await world.kafka.admin.deleteTopics(['replay.orders.job-1'])
    const late = ordersLog(9, 20)
    await world.post(RAW, late)
    await runToEnd(world, past.candidate, { version: 2 })
    const books = readBooks((await world.committed('orders', 2)).get(0)!.metadata, 'test')
    expect(books.sourceNext).toBe(80)
    await world.close()
  })

  test('a replay topic that is gone too early stops it', async () => {
    const past = await history()
    await past.world.kafka.admin.deleteTopics(['replay.orders.job-1'])
    await expect(runStream(past.world, past.candidate, { version: 2 })).rejects.toMatchObject({
      code: 'MESH_REPLAY_GAP',
    })
    await past.world.close()
  })

  test('a record of another source partition stops it', async () => {
    const past = await history()
    const foreign = await candidateOf(past.world, { ...past.state }, { ends: null, changeover: [CHANGEOVER] })
    await emitReplay(past.world, 'orders', past.log.slice(0, 1), { ...past.state, rawTopicId: 'another-topic' })
    const running = await runStream(past.world, foreign, { version: 2 })
    await expect.poll(() => running.fatal()).toMatchObject({ code: 'MESH_REPLAY_INVALID' })
    await past.world.close()
  })
})
