import { formatHash } from '@mesh/shared/core/books'
import { describe, expect, it } from 'vitest'
import { BRONZE_TASK, rawRecords, rawSum, readBronze, readSilver, refinedRecords, SILVER_TASK } from './streams.ts'
import { createFuse, createWorld, runProcess, startProcess, type World } from './world.ts'

/** Thousands of small files are built here, on machines that are busy. */
const TIMEOUT_MS = 300_000
const RECORDS = rawRecords(17, [3, 4, 11])
const REFINED = [0, 1, 2, 3, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9, 9]

async function expectExactBronze(world: World): Promise<void> {
  const { offsets, hash, footers } = await readBronze(world)
  expect(offsets).toEqual(world.records.map(({ offset }) => offset))
  expect(footers.at(-1)).toMatchObject({ nextOffset: 17, hash: rawSum(world.records), counts: { ok: 14, hole: 0 } })
  expect(formatHash(hash)).toBe(rawSum(world.records))
  expectAnnounced(world, 17)
}

async function expectExactSilver(world: World): Promise<void> {
  const { values, footers } = await readSilver(world)
  expect(values).toEqual(['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
  const counts = { ok: 10, outputs: 10, redelivered: 6 }
  expect(footers.at(-1)).toMatchObject({ nextOffset: 16, counts, hash: formatHash(55n) })
  expectAnnounced(world, 16)
}

/** Every object was announced, the group's offset is at the chain's end, and events of one range never differ. */
function expectAnnounced(world: World, end: number): void {
  expect(world.committed?.offset).toBe(end)
  const ranges = new Map(world.events.map((event) => [event.firstOffset, JSON.stringify(event)]))
  for (const event of world.events) expect(ranges.get(event.firstOffset)).toBe(JSON.stringify(event))
  expect(new Set(world.events.flatMap(({ objects }) => objects))).toEqual(new Set(world.objects.objects.keys()))
}

describe.each([
  ['bronze', BRONZE_TASK, () => createWorld(RECORDS), expectExactBronze],
  ['silver', SILVER_TASK, () => createWorld(refinedRecords(REFINED)), expectExactSilver],
] as const)('%s stays exact', (_name, task, open, expectExact) => {
  it(
    'when the process dies at any await',
    async () => {
      for (let at = 1; ; at++) {
        const world = open()
        const finished = await runProcess(world, { task, fuse: createFuse(at) })
        expect(await runProcess(world, { task })).toBe(true)
        await expectExact(world)
        if (finished) break
        expect(at).toBeLessThan(200)
      }
    },
    TIMEOUT_MS,
  )

  it(
    'when it dies again at any await while it recovers, with other flush limits',
    async () => {
      for (let at = 2; at < 60; at += 7) {
        for (let again = 1; again < 30; again += 5) {
          const world = open()
          await runProcess(world, { task, fuse: createFuse(at) })
          await runProcess(world, { task, fuse: createFuse(again), limits: { maxRows: 2 }, batch: 3 })
          expect(await runProcess(world, { task, limits: { maxRows: 5 }, batch: 7 })).toBe(true)
          await expectExact(world)
        }
      }
    },
    TIMEOUT_MS,
  )

  it(
    'when two processes write the same partition, in any interleaving',
    async () => {
      for (let seed = 1; seed <= 30; seed++) {
        const world = open()
        const random = seeded(seed)
        const processes = [2, 3, 5].map((maxRows, i) =>
          startProcess(world, { task, limits: { maxRows }, batch: 1 + i * 2 }),
        )
        for (const process of processes) await process.assign()
        const running = new Set(processes)
        while (running.size > 0) {
          const process = [...running][Math.floor(random() * running.size)]!
          if (random() < 0.15) await process.tick()
          if (await process.step()) continue
          await process.close()
          running.delete(process)
        }
        // The group's offset is whatever the last of them committed: the next owner walks on from what it names.
        expect(await runProcess(world, { task })).toBe(true)
        await expectExact(world)
      }
    },
    TIMEOUT_MS,
  )
})

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
