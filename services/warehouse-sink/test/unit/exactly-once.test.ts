import { addHash, commitKey, formatHash } from '@mesh/shared/core/books'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { describe, expect, test, vi } from 'vitest'
import { createDuckDbFile } from '../../src/adapters/duckdb-file.ts'
import { createDuckDbWarehouse } from '../../src/adapters/duckdb-warehouse.ts'
import type { Warehouse } from '../../src/core/ports.ts'
import { FILE_OPTIONS, freshFile, freshPath, textsOf } from './duckdb.ts'
import { Crash, createWorld, readTestRow, runSink, type World } from './landing-world.ts'
import { refinedRecord, TABLE } from './rows.ts'

vi.setConfig({ testTimeout: 60_000 })

/** Conditions come true at once on a free machine. */
const PATIENT = { timeout: 50_000 }

/** Raw offsets as they came out: 2 and 4 twice (the enricher restarted), and control records before the last one. */
const EMITTED = [1, 2, 4, 2, 4]
const LOG: readonly (readonly KafkaRecord[])[] = [0, 1].map((partition) => [
  ...EMITTED.map((raw, offset) => refinedRecord(offset, partition, raw)),
  refinedRecord(EMITTED.length + 1, partition, 5),
])
const UNIQUE = [1, 2, 4, 5]
const END = EMITTED.length + 2
const LIMITS = { maxRows: 3, maxBytes: 1_000_000, maxAgeMs: 100 }

async function expectBooksClose(warehouse: Warehouse, world: World, rows: (string | null)[][]): Promise<void> {
  expect(rows).toEqual([0, 1].flatMap((p) => UNIQUE.map((raw) => [String(p), String(raw), `f${raw}`])))
  for (const [partition, log] of LOG.entries()) {
    const hash = UNIQUE.map((raw) => readTestRow(refinedRecord(0, partition, raw)).hash).reduce(addHash, 0n)
    const [entry] = await warehouse.ledger('flights', 1, partition)
    expect(entry).toMatchObject({ nextOffset: END, counts: { outputs: 4, ok: 4, redelivered: 2, hole: 0 }, hash })
    expect(entry!.counts.outputs + entry!.counts.redelivered).toBe(log.length)
    const key = commitKey({ layer: 'landing', stream: 'flights', version: 1, lane: 'main', partition })
    expect(world.events.get(key)).toMatchObject({ nextOffset: END, hash: formatHash(hash), objects: ['FLIGHTS__V1'] })
    expect(world.groupOffsets.get(partition)).toBe(END)
  }
}

const SELECT = 'SELECT _partition, _offset, id FROM FLIGHTS__V1 ORDER BY ALL'

describe('exactly once', () => {
  test('without a fault every raw record has one row and the books close', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    const world = createWorld(LOG)
    await runSink({ world, warehouse, limits: LIMITS })
    await expectBooksClose(warehouse, world, await textsOf(file, SELECT))
  })

  test('a death at any await, followed by a death at the next, loses nothing and doubles nothing', async () => {
    const points: string[] = []
    for (let deadly = 1; ; deadly++) {
      const file = await freshFile()
      const warehouse = createDuckDbWarehouse(file)
      await warehouse.prepare(TABLE)
      const world = createWorld(LOG)
      let passed = 0
      const dieAt = (limit: number) => async (point: string) => {
        passed += 1
        if (passed === limit) {
          points.push(point)
          throw new Crash(point)
        }
      }
      const died = await runSink({ world, warehouse, limits: LIMITS, at: dieAt(deadly) }).then(
        () => false,
        () => true,
      )
      if (!died) break
      await expectGroupBehindLedger(warehouse, world)
      passed = 0
      await runSink({ world, warehouse, limits: LIMITS, at: dieAt((deadly % 7) + 1) }).catch(() => {})
      await expectGroupBehindLedger(warehouse, world)
      await runSink({ world, warehouse, limits: LIMITS })
      await expectBooksClose(warehouse, world, await textsOf(file, SELECT))
    }
    expect(new Set(points)).toEqual(
      new Set(
        ['before', 'after'].flatMap((when) =>
          ['ledger', 'write', 'publish', 'group commit'].map((what) => `${when} ${what}`),
        ),
      ),
    )
  }, 600_000)

  test('a zombie that still holds older steps loses by the ledger, and its rows with it', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    const world = createWorld(LOG)
    let release: () => void = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    let writes = 0
    const zombie = runSink({
      world,
      warehouse,
      limits: LIMITS,
      at: async (point) => {
        if (point === 'before write' && ++writes === 2) await held
      },
    })
    const outcome = expect(zombie).rejects.toThrow(expect.objectContaining({ code: 'MESH_WAREHOUSE_LEDGER' }))
    await expect.poll(() => writes, PATIENT).toBe(2)
    await runSink({ world, warehouse, limits: LIMITS })
    release()
    await outcome
    await expectBooksClose(warehouse, world, await textsOf(file, SELECT))
  })

  test('a restart announces the last step again before anything else', async () => {
    const file = await freshFile()
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    const world = createWorld(LOG)
    await runSink({ world, warehouse, limits: LIMITS })
    const before = new Map(world.events)
    world.events.clear()
    await runSink({ world, warehouse, limits: LIMITS })
    for (const [key, event] of before) expect(world.events.get(key)).toEqual({ ...event, at: expect.any(String) })
  })

  test('a group that lost its offsets starts from the ledger, and gets them back though nothing new arrives', async () => {
    const path = await freshPath()
    const file = createDuckDbFile(path, FILE_OPTIONS)
    const warehouse = createDuckDbWarehouse(file)
    await warehouse.prepare(TABLE)
    const world = createWorld(LOG)
    await runSink({ world, warehouse, limits: LIMITS })
    world.groupOffsets.clear()
    await runSink({ world, warehouse, limits: LIMITS })
    expect(world.groupOffsets).toEqual(
      new Map([
        [0, END],
        [1, END],
      ]),
    )
    expect(await textsOf(file, 'SELECT count(*) FROM FLIGHTS__V1')).toEqual([['8']])
  })
})

async function expectGroupBehindLedger(warehouse: Warehouse, world: World): Promise<void> {
  for (const [partition, committed] of world.groupOffsets) {
    const [entry] = await warehouse.ledger('flights', 1, partition)
    expect(entry!.nextOffset).toBeGreaterThanOrEqual(committed)
    const key = commitKey({ layer: 'landing', stream: 'flights', version: 1, lane: 'main', partition })
    expect(world.events.get(key)!.nextOffset).toBeGreaterThanOrEqual(committed)
  }
}
