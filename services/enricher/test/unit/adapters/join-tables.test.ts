import { formatMeshSrc } from '@mesh/shared/core/coordinate'
import { header, textBytes } from '@mesh/shared/core/record'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createJoinTables, type JoinTables } from '../../../src/adapters/join-tables.ts'
import { createWorld, type World } from '../../world.ts'

const TOPIC = 'refined.customers.v1'
let world: World
let tables: JoinTables
let avsc: string
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
  tables = createJoinTables({
    kafka: world.kafka,
    codec: world.codec,
    onFatal: (error) => {
      throw error
    },
  })
})
afterEach(() => world.close())

async function put(offset: number, key: string, name: string | null): Promise<void> {
  const src = formatMeshSrc({ lane: 'main', topicId: 'raw-9', partition: 0, offset, index: 0 })
  const value = name === null ? null : world.codec.encode(1, avsc, { id: key, name })
  const producer = await world.kafka.producer()
  await producer.send(TOPIC, [{ partition: 0, key: textBytes(key), value, headers: [header('mesh-src', src)] }])
}

describe('join tables', () => {
  test('hold the latest row per key; a tombstone deletes it; a redelivered record changes nothing', async () => {
    await put(1, 'a', 'first')
    await put(2, 'a', 'second')
    await put(3, 'b', 'gone soon')
    await put(4, 'b', null)
    await put(1, 'a', 'first')
    await put(3, 'b', 'gone soon')
    const table = await tables.acquire('customers', 1)
    expect(table.size()).toBe(1)
    expect(table.find('a')).toEqual({ src: 'main;raw-9;0;2;0', record: { id: 'a', name: 'second' } })
    expect(table.find('b')).toBeNull()
    expect(table.find('never')).toBeNull()
    await tables.release('customers', 1)
  })

  test('a row is decoded once and cannot be written to', async () => {
    await put(1, 'a', 'Ada')
    const table = await tables.acquire('customers', 1)
    const row = table.find('a')!
    expect(table.find('a')).toBe(row)
    expect(() => Object.assign(row.record, { name: 'Eve' })).toThrow(TypeError)
    await tables.release('customers', 1)
  })

  test('runners share a table, and the last one to leave stops it', async () => {
    const [one, two] = await Promise.all([tables.acquire('customers', 1), tables.acquire('customers', 1)])
    expect(one).toBe(two)
    await tables.release('customers', 1)
    await put(1, 'a', 'Ada')
    await expect.poll(() => one.find('a')?.record['name']).toBe('Ada')
    await tables.release('customers', 1)
    const again = await tables.acquire('customers', 1)
    expect(again).not.toBe(one)
    expect(again.find('a')?.record['name']).toBe('Ada')
    await tables.release('customers', 1)
  })

  test('a table that cannot be opened can be asked for again', async () => {
    await expect(tables.acquire('nobody', 1)).rejects.toMatchObject({ code: 'MESH_KAFKA_UNAVAILABLE' })
    await world.kafka.admin.ensureTopics([{ name: 'refined.nobody.v1', partitions: 1, config: {} }])
    expect((await tables.acquire('nobody', 1)).size()).toBe(0)
    await tables.release('nobody', 1)
  })
})
