import { join } from 'node:path'
import { formatMeshSrc } from '@mesh/shared/core/coordinate'
import { header, textBytes } from '@mesh/shared/core/record'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createJoinTables, type JoinTables, type JoinTablesDeps } from '../../../src/adapters/join-tables.ts'
import { createTableFolder } from '../../../src/adapters/table-folder.ts'
import { createMemoryBudget, type MemoryBudget } from '../../../src/core/memory-budget.ts'
import { createWorld, type World } from '../../world.ts'

const TOPIC = 'refined.customers.v1'
let world: World
let tables: JoinTables
let avsc: string
let budget: MemoryBudget
beforeEach(async () => {
  world = await createWorld()
  await world.apply('customers')
  avsc = JSON.stringify({
    type: 'record',
    name: 'Customer',
    fields: [
      { name: 'id', type: 'string' },
      { name: 'name', type: 'string' },
    ],
  })
  budget = createMemoryBudget(1_000_000)
  tables = tablesOf()
})
afterEach(() => world.close())

/** A process of its own, over what an earlier one left on disk. */
function tablesOf(options: Partial<JoinTablesDeps> = {}): JoinTables {
  return createJoinTables({
    kafka: world.kafka,
    codec: createAvroCodec({ schemaById: async () => avsc }),
    openStore: createTableFolder(join(world.cacheDir, 'tables')).open,
    budget,
    wallClockMs: Date.now,
    ...options,
  })
}

const customers = { stream: 'customers', version: 1, historyMs: null, partition: null }

async function put(offset: number, key: string, name: string | null, time = '2026-01-01T00:00:00Z'): Promise<void> {
  const src = formatMeshSrc({ lane: 'main', topicId: 'raw-9', partition: 0, offset, index: 0 })
  const value = name === null ? null : world.codec.encode(1, avsc, { id: key, name })
  const producer = await world.kafka.producer()
  await producer.send(TOPIC, [
    { partition: 0, key: textBytes(key), value, headers: [header('mesh-src', src), header('ce_time', time)] },
  ])
}

describe('join tables', () => {
  test('hold the latest row per key; a tombstone deletes it; a redelivered record changes nothing', async () => {
    await put(1, 'a', 'first')
    await put(2, 'a', 'second')
    await put(3, 'b', 'gone soon')
    await put(4, 'b', null)
    await put(1, 'a', 'first')
    await put(3, 'b', 'gone soon')
    const table = await tables.acquire(customers)
    expect(table.size()).toBe(1)
    expect(table.find('a')).toEqual({ src: 'main;raw-9;0;2;0', record: { id: 'a', name: 'second' } })
    expect(table.find('b')).toBeNull()
    expect(table.find('never')).toBeNull()
    await tables.release(customers)
  })

  test('a row is decoded once and cannot be written to', async () => {
    await put(1, 'a', 'Ada')
    const table = await tables.acquire(customers)
    const row = table.find('a')!
    expect(table.find('a')).toBe(row)
    expect(() => Object.assign(row.record, { name: 'Eve' })).toThrow(TypeError)
    await tables.release(customers)
  })

  test('runners share a table, and the last one to leave stops it', async () => {
    const [one, two] = await Promise.all([tables.acquire(customers), tables.acquire(customers)])
    expect(one).toBe(two)
    await tables.release(customers)
    await put(1, 'a', 'Ada')
    await expect.poll(() => one.find('a')?.record['name']).toBe('Ada')
    await tables.release(customers)
    const again = await tables.acquire(customers)
    expect(again).not.toBe(one)
    expect(again.find('a')?.record['name']).toBe('Ada')
    await tables.release(customers)
  })

  test('a table that cannot be opened can be asked for again', async () => {
    await expect(tables.acquire({ ...customers, stream: 'nobody' })).rejects.toMatchObject({
      code: 'MESH_KAFKA_UNAVAILABLE',
    })
    await world.kafka.admin.ensureTopics([{ name: 'refined.nobody.v1', partitions: 1, config: {} }])
    expect((await tables.acquire({ ...customers, stream: 'nobody' })).size()).toBe(0)
    await tables.release({ ...customers, stream: 'nobody' })
  })

  test('a restart goes on where the rows on disk end and reads nothing twice', async () => {
    await put(1, 'a', 'Ada')
    await put(2, 'b', 'Bob')
    await tables.acquire(customers)
    await tables.release(customers)
    await put(3, 'b', 'Ben')
    const read: number[] = []
    const kafka: JoinTablesDeps['kafka'] = {
      ...world.kafka,
      follow: (topic, options) =>
        world.kafka.follow(topic, {
          ...options,
          async onBatch(batch) {
            read.push(...batch.records.map((record) => record.offset))
            await options.onBatch(batch)
          },
        }),
    }
    const again = tablesOf({ kafka })
    const table = await again.acquire(customers)
    expect(read).toEqual([2])
    expect([table.find('a'), table.find('b')].map((row) => row?.record['name'])).toEqual(['Ada', 'Ben'])
    await again.release(customers)
  })

  test('a topic made anew, a log that begins later and a store that was away too long are read from the start', async () => {
    await put(1, 'a', 'Ada')
    await tables.acquire(customers)
    await tables.release(customers)
    await put(2, 'b', 'Bob')
    const later = tablesOf({ wallClockMs: () => Date.now() + 13 * 3_600_000 })
    world.kafka.trim(TOPIC, 0, 1)
    expect((await later.acquire(customers)).size()).toBe(1)
    await later.release(customers)
    world.kafka.recreate(TOPIC)
    await put(1, 'c', 'Cyd')
    const anew = await tables.acquire(customers)
    expect([anew.size(), anew.find('a'), anew.find('c')?.record['name']]).toEqual([1, null, 'Cyd'])
    await tables.release(customers)
  })

  test('a table with a history answers as of a time, beside the latest rows of the same topic', async () => {
    await put(1, 'a', 'Ada', '2026-01-01T00:00:00Z')
    await put(2, 'a', 'Eve', '2026-01-03T00:00:00Z')
    const versioned = { ...customers, historyMs: 30 * 86_400_000 }
    const [latest, history] = [await tables.acquire(customers), await tables.acquire(versioned)]
    const at = (time: string) => history.findAsOf('a', Date.parse(time)).row
    expect(at('2026-01-02T00:00:00Z')).toEqual({ src: 'main;raw-9;0;1;0', record: { id: 'a', name: 'Ada' } })
    expect(at('2026-01-04T00:00:00Z')?.record['name']).toBe('Eve')
    expect(at('2025-12-31T00:00:00Z')).toBeNull()
    expect(latest.find('a')?.record['name']).toBe('Eve')
    expect(tables.positions()).toEqual({ [TOPIC]: { 0: 2 } })
    expect(tables.sizes().map(({ rows }) => rows)).toEqual([1, 2])
    await tables.release(customers)
    await tables.release(versioned)
  })

  test('decoded rows stay within the budget, with one hot key and with more keys than there is room for', async () => {
    budget = createMemoryBudget(20_000)
    tables = tablesOf()
    for (let n = 0; n < 200; n++) await put(n, `k${n}`, 'x'.repeat(100))
    const table = await tables.acquire(customers)
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 200; n++) {
        expect(table.find(`k${n}`)?.record['id']).toBe(`k${n}`)
        expect(budget.used()).toBeLessThanOrEqual(20_000)
      }
    }
    const hot = table.find('k7')
    for (let n = 0; n < 1000; n++) expect(table.find('k7')).toBe(hot)
    for (let n = 0; n < 5000; n++) expect(table.find(`missing-${n}`)).toBeNull()
    expect(budget.used()).toBeGreaterThan(10_000)
    expect(budget.used()).toBeLessThanOrEqual(20_000)
    await tables.release(customers)
    expect(budget.used()).toBe(0)
  })
})
