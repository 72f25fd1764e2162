import { header } from '@mesh/shared/core/record'
import { readLink } from '@mesh/shared/lake/chain'
import { chainKey } from '@mesh/shared/lake/chain-names'
import { describe, expect, it } from 'vitest'
import { createMemoryBudget } from '../../src/core/memory-budget.ts'
import {
  BRONZE_ID,
  BRONZE_TASK,
  rawRecords,
  readBronze,
  readSilver,
  refinedRecords,
  SILVER_ID,
  SILVER_TASK,
} from './streams.ts'
import { createWorld, runProcess, startProcess, type World } from './world.ts'

const LARGE = { maxRows: 1_000, maxBytes: 1e9, maxAgeMs: 1e9 }
const ranges = async (world: World): Promise<number[][]> =>
  (await readBronze(world)).footers.map(({ firstOffset, nextOffset }) => [firstOffset, nextOffset])

describe('when an object is cut', () => {
  it('by rows, inside a batch', async () => {
    const world = createWorld(rawRecords(10))
    await runProcess(world, { task: BRONZE_TASK, limits: { ...LARGE, maxRows: 4 }, batch: 10 })
    expect(await ranges(world)).toEqual([
      [0, 4],
      [4, 8],
      [8, 10],
    ])
    expect(world.log).toEqual(['flushed:rows', 'flushed:rows', 'flushed:closing'])
  })

  it('by bytes', async () => {
    const world = createWorld(rawRecords(6))
    await runProcess(world, { task: BRONZE_TASK, limits: { ...LARGE, maxBytes: 900 }, batch: 6 })
    expect(world.log).toEqual(['flushed:bytes', 'flushed:bytes'])
  })

  it('by the age of its oldest record, at a tick', async () => {
    let now = 0
    const world = createWorld(rawRecords(8))
    const limits = { ...LARGE, maxAgeMs: 100 }
    const process = startProcess(world, { task: BRONZE_TASK, limits, now: () => now })
    await process.assign()
    await process.step()
    now = 99
    await process.tick()
    expect(world.log).toEqual([])
    now = 100
    await process.tick()
    expect(world.log).toEqual(['flushed:age'])
    expect(world.committed?.offset).toBe(4)
    await process.step()
    await process.tick()
    expect(world.log).toHaveLength(1)
  })

  it('never without a record: control and aborted offsets wait for the next one and lie inside its object', async () => {
    const world = createWorld(rawRecords(4), 9)
    await runProcess(world, { task: BRONZE_TASK, limits: { ...LARGE, maxRows: 4 } })
    expect(await ranges(world)).toEqual([[0, 4]])
    expect(world.committed?.offset).toBe(4)
    world.records.push(...rawRecords(11).slice(10))
    world.highWatermark = 11
    await runProcess(world, { task: BRONZE_TASK, limits: LARGE })
    expect(await ranges(world)).toEqual([
      [0, 4],
      [4, 11],
    ])
  })

  it('before a record of a newer schema, whose object has its columns', async () => {
    const records = refinedRecords([0, 1, 2, 3])
    const newer = records.map((r) => (r.offset === 2 ? { ...r, value: Buffer.from('+2') } : r))
    const world = createWorld(newer)
    await runProcess(world, { task: SILVER_TASK, limits: LARGE })
    expect(world.log).toEqual(['flushed:schema', 'flushed:closing'])
    expect((await readSilver(world)).values).toEqual(['0', '1', '+2', '3'])
  })
})

describe('memory', () => {
  it('is bounded over all partitions, whatever arrives', async () => {
    const budget = createMemoryBudget(4_000)
    const worlds = Array.from({ length: 8 }, () => createWorld(rawRecords(20)))
    const processes = worlds.map((world) => startProcess(world, { task: BRONZE_TASK, limits: LARGE, budget, batch: 3 }))
    for (const process of processes) await process.assign()
    let most = 0
    for (let busy = true; busy; ) {
      busy = false
      for (const process of processes) {
        busy = (await process.step()) || busy
        most = Math.max(most, budget.held())
      }
    }
    for (const process of processes) await process.close()
    expect(most).toBeGreaterThan(2_000)
    expect(most).toBeLessThanOrEqual(4_000)
    expect(budget.held()).toBe(0)
    expect(worlds.flatMap(({ log }) => log)).toContain('flushed:memory')
    for (const world of worlds) expect((await readBronze(world)).offsets).toHaveLength(20)
  }, 300_000)
})

describe('another writer of the partition', () => {
  it('that covers a part: the rest goes into the next object, on its books', async () => {
    const world = createWorld(rawRecords(12))
    const zombie = startProcess(world, { task: BRONZE_TASK, limits: LARGE, batch: 12 })
    await zombie.assign()
    await zombie.step()
    await runProcess({ ...world, highWatermark: 5 }, { task: BRONZE_TASK, limits: LARGE })
    await zombie.close()
    expect(await ranges(world)).toEqual([
      [0, 5],
      [5, 12],
    ])
    expect((await readBronze(world)).offsets).toEqual(world.records.map(({ offset }) => offset))
    expect(world.log).toContain('adopted')
  })

  it('that is ahead: what it covers is skipped, and never committed before it was read', async () => {
    const world = createWorld(rawRecords(12))
    const slow = startProcess(world, { task: BRONZE_TASK, limits: { ...LARGE, maxRows: 3 }, batch: 3 })
    await slow.assign()
    await runProcess({ ...world }, { task: BRONZE_TASK, limits: LARGE, batch: 9 })
    await slow.step()
    expect(world.committed).toMatchObject({ offset: 3 })
    while (await slow.step());
    await slow.close()
    expect(await ranges(world)).toEqual([[0, 12]])
  })

  it('that the silver sink meets takes its redeliveries along', async () => {
    const world = createWorld(refinedRecords([0, 1, 2, 0, 1, 2, 3]))
    const zombie = startProcess(world, { task: SILVER_TASK, limits: LARGE, batch: 7 })
    await zombie.assign()
    await zombie.step()
    await runProcess({ ...world, highWatermark: 2 }, { task: SILVER_TASK, limits: LARGE })
    await zombie.close()
    const { values, footers } = await readSilver(world)
    expect(values).toEqual(['0', '1', '2', '3'])
    expect(footers.at(-1)).toMatchObject({ rows: 2, counts: { outputs: 4, redelivered: 3 } })
  })
})

describe('assignment', () => {
  it('books what retention took as a hole, and reads on from the log start', async () => {
    const world = createWorld(rawRecords(12))
    await runProcess({ ...world, highWatermark: 3 }, { task: BRONZE_TASK })
    world.committed = { offset: 3, metadata: '' }
    world.records = world.records.filter(({ offset }) => offset >= 8)
    world.logStartOffset = 8
    await runProcess(world, { task: BRONZE_TASK, limits: LARGE })
    const { footers, offsets } = await readBronze(world)
    expect(await ranges(world)).toEqual([
      [0, 3],
      [3, 8],
      [8, 12],
    ])
    expect(footers.map(({ kind }) => kind)).toEqual(['records', 'hole', 'records'])
    expect(footers.at(-1)?.counts).toMatchObject({ ok: 7, hole: 5 })
    expect(offsets).toEqual([0, 1, 2, 8, 9, 10, 11])
    expect(world.events.map(({ counts }) => counts.hole)).toContain(5)
  })

  it('shares the booking of a hole with another process that saw another log start', async () => {
    for (const starts of [
      [5, 8],
      [8, 5],
    ]) {
      const world = createWorld(rawRecords(12))
      await runProcess({ ...world, highWatermark: 3 }, { task: BRONZE_TASK })
      const processes = starts.map((logStartOffset) =>
        startProcess({ ...world, logStartOffset }, { task: BRONZE_TASK }),
      )
      const assigned = await Promise.all(processes.map((process) => process.assign()))
      expect(Math.max(...assigned.map(({ position }) => position))).toBe(8)
      for (const process of processes.reverse()) {
        while (await process.step());
        await process.close()
      }
      const { footers, offsets } = await readBronze(world)
      expect(footers.at(-1)).toMatchObject({ nextOffset: 12, counts: { ok: 7, hole: 5 } })
      expect(offsets).toEqual([0, 1, 2, 8, 9, 10, 11])
    }
  })

  it('announces the last object again and commits it again', async () => {
    const world = createWorld(rawRecords(6))
    await runProcess(world, { task: BRONZE_TASK, limits: LARGE })
    const [first] = world.events
    world.committed = null
    await runProcess(world, { task: BRONZE_TASK, limits: LARGE })
    expect(world.events).toEqual([first, first])
    expect(world.committed).toEqual({
      offset: 6,
      metadata: JSON.stringify({ v: 1, object: chainKey(BRONZE_ID, 0), firstOffset: 0 }),
    })
  })

  it('walks from the object that the group metadata names', async () => {
    const world = createWorld(rawRecords(12))
    await runProcess({ ...world, highWatermark: 9 }, { task: BRONZE_TASK })
    const hinted = { offset: 6, metadata: JSON.stringify({ v: 1, object: chainKey(BRONZE_ID, 3), firstOffset: 3 }) }
    for (const metadata of [hinted.metadata, '', 'reset by hand', '{}', 'null']) {
      world.committed = { offset: 6, metadata }
      const { position } = await startProcess(world, { task: BRONZE_TASK }).assign()
      expect(position).toBe(9)
    }
  })

  it('refuses a topic that was created anew', async () => {
    const world = createWorld(rawRecords(6))
    await runProcess(world, { task: BRONZE_TASK })
    const other = { ...world, topicId: 'topic-2', committed: null }
    await expect(startProcess(other, { task: BRONZE_TASK }).assign()).rejects.toMatchObject({
      code: 'MESH_KAFKA_TOPIC_RECREATED',
    })
    const named = { offset: 6, metadata: JSON.stringify({ v: 1, object: chainKey(SILVER_ID, 3), firstOffset: 3 }) }
    await expect(startProcess({ ...other, committed: named }, { task: SILVER_TASK }).assign()).rejects.toMatchObject({
      code: 'MESH_KAFKA_TOPIC_RECREATED',
    })
  })

  it('refuses a lake that lost objects, and a topic that lost records', async () => {
    const world = createWorld(rawRecords(6))
    await runProcess(world, { task: BRONZE_TASK })
    const shorter = { ...world, highWatermark: 2 }
    await expect(startProcess(shorter, { task: BRONZE_TASK }).assign()).rejects.toMatchObject({
      code: 'MESH_KAFKA_OFFSET_OUT_OF_RANGE',
    })
    for (const committed of [world.committed, { offset: 6, metadata: '' }]) {
      const wiped = { ...createWorld(world.records), committed }
      await expect(startProcess(wiped, { task: BRONZE_TASK }).assign()).rejects.toMatchObject({
        code: 'MESH_LAKE_CHAIN_BROKEN',
      })
    }
  })
})

describe('before each create', () => {
  it('the topic must still be the one that was assigned', async () => {
    const world: { topicId: string } & World = createWorld(rawRecords(6))
    const process = startProcess(world, { task: BRONZE_TASK, limits: LARGE })
    await process.assign()
    await process.step()
    Object.assign(world, { topicId: 'topic-2' })
    await expect(process.close()).rejects.toMatchObject({ code: 'MESH_KAFKA_TOPIC_RECREATED' })
    expect(world.objects.objects.size).toBe(0)
    await expect(process.step()).rejects.toMatchObject({ code: 'MESH_KAFKA_TOPIC_RECREATED' })
  })
})

describe('an unreadable refined record', () => {
  it('stops the partition and names its place', async () => {
    const [good, bad] = refinedRecords([0, 1])
    const world = createWorld([good!, { ...bad!, headers: [header('mesh-src', 'nonsense')] }])
    await expect(runProcess(world, { task: SILVER_TASK })).rejects.toMatchObject({
      code: 'MESH_DECODE_AVRO',
      place: 'refined.flights.v2/0/1',
    })
    expect(await readLink(world.objects, SILVER_ID, 0)).toBeNull()
  })
})
