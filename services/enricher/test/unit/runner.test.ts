import { formatHash, parseHash, refinedHash } from '@mesh/shared/core/books'
import type { Contract } from '@mesh/shared/core/contract'
import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { bytesText, headerText } from '@mesh/shared/core/record'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Books } from '../../src/core/books.ts'
import { readBooks } from '../../src/core/books-metadata.ts'
import { orderBooks, ordersLog, srcOf } from '../orders.ts'
import { caughtUp, runStream, runToEnd } from '../process.ts'
import { createWorld, type Log, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
let world: World
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.close())

const noJoins = {
  contract: (c: Contract) => ({ ...c, refine: { ...c.refine, joins: [] } }),
}
const decoded = (log: Log) =>
  Promise.all(
    log.map(async ({ record }) => (record.value === null ? null : (await world.codec.decode(record.value)).record)),
  )
const codes = (log: Log) => log.map(({ record }) => headerText(record.headers, 'mesh-error-code'))
async function booksOf(stream: string, partition = 0): Promise<Books> {
  const committed = (await world.committed(stream)).get(partition)!
  return readBooks(committed.metadata, 'test')
}

describe('runner', () => {
  test('refines in source order, partition by partition, and keeps key, time and partition', async () => {
    const state = await world.apply('orders', { ...noJoins, partitions: 2 })
    const posted = Array.from({ length: 40 }, (_, n) => ({
      partition: n % 2,
      key: `k${n}`,
      id: `e${n}`,
      value: { n },
      timestamp: 1000 + n,
    }))
    await world.post(RAW, posted)
    await runToEnd(world, state)
    const refined = await world.refinedOf('orders')
    for (const partition of [0, 1]) {
      const own = refined.filter((r) => r.partition === partition)
      expect((await decoded(own)).map((r) => r!['n'])).toEqual(
        posted.filter((p) => p.partition === partition).map((p) => p.value.n),
      )
      expect(own.map((r) => parseMeshSrc(srcOf(r.record)).offset)).toEqual(own.map((_, i) => i))
    }
    expect(refined.map((r) => bytesText(r.record.key!)).sort()).toEqual(posted.map((p) => p.key).sort())
    expect(new Set(refined.map((r) => r.record.timestamp))).toEqual(new Set(posted.map((p) => p.timestamp)))
  })

  test('every fate goes its way and is counted; poison is kept with its bytes and the reason', async () => {
    const state = await world.apply('orders', noJoins)
    await world.post(RAW, [
      { id: 'a', value: { n: 1 } },
      { id: 'a', value: { n: 1 } },
      { id: 'b', value: Buffer.from('{"n":') },
      { id: 'c', value: { n: 3, does: 'drop' } },
      { id: 'd', value: { n: 4, does: 'refuse' } },
      { id: 'e', value: { n: 5, does: 'throw' }, headers: [['x', null]] },
      { id: 'f', value: { n: 6, does: 'mismatch' } },
      { id: 'g', value: { n: 7, does: 'delete' } },
      { id: 'h', value: { n: 8, does: 'none' } },
      { id: 'i', value: { n: 9, parts: 3 } },
      { id: 'j', key: 'gone', value: null },
      { id: 'k', value: { n: 11 } },
    ])
    await runToEnd(world, state)
    expect((await booksOf('orders')).counts).toMatchObject({ ok: 6, outputs: 7, duplicate: 1, drop: 1, deadLetter: 4 })
    const refined = await world.refinedOf('orders')
    expect(refined.map(({ record }) => [bytesText(record.key!), srcOf(record).split(';').slice(3).join(';')])).toEqual([
      ['k', '0;0'],
      ['k', '7;0'],
      ['k/p0', '9;0'],
      ['k/p1', '9;1'],
      ['k/p2', '9;2'],
      ['gone', '10;0'],
      ['k', '11;0'],
    ])
    expect((await decoded(refined)).map((record) => record?.['n'] ?? null)).toEqual([1, null, 9, 9, 9, null, 11])
    const dead = await world.deadLettersOf('orders')
    expect(codes(dead)).toEqual(['MESH_DECODE_JSON', 'ORDER_ODD', 'MESH_REFINE_THROWN', 'MESH_REFINE_INVALID'])
    const thrown = dead[2]!.record
    const raw = (await world.rawOf('orders'))[5]!.record
    expect(thrown.value).toEqual(raw.value)
    expect(thrown.headers.slice(0, raw.headers.length)).toEqual(raw.headers)
    const error = (name: string) => headerText(thrown.headers, `__connect.errors.${name}`)
    expect([error('topic'), error('partition'), error('offset')]).toEqual([RAW, '0', '5'])
    expect(error('exception.class.name')).toBe('RangeError')
    expect(error('exception.message')).toBe('order 5 is out of range')
    expect(error('exception.stacktrace')).toContain('refine.mjs')
  })

  test('books equal a recomputation of the whole log, after any number of restarts', async () => {
    const state = await world.apply('orders', noJoins)
    for (let round = 0; round < 5; round++) {
      await world.post(RAW, ordersLog(round, 40))
      await runToEnd(world, state)
    }
    const expected = await orderBooks(world, state)
    const books = await booksOf('orders')
    expect(books.counts).toEqual(expected.counts)
    expect(formatHash(books.hash)).toBe(expected.hash)
    const last = (await world.commitEvents()).at(-1)!
    expect(last).toMatchObject({ layer: 'refined', nextOffset: 200, counts: expected.counts, hash: expected.hash })
  })

  test('the hash of the books is the sum over the records of the refined topic', async () => {
    const state = await world.apply('orders', noJoins)
    await world.post(RAW, ordersLog(7, 80))
    await runToEnd(world, state)
    let sum = 0n
    for (const { record } of await world.refinedOf('orders')) {
      sum += refinedHash(parseMeshSrc(srcOf(record)), record.key, record.value?.subarray(5) ?? null)
    }
    expect((await booksOf('orders')).hash).toBe(sum & ((1n << 128n) - 1n))
  })

  test('commit events tile, and a restart publishes the last one again', async () => {
    const state = await world.apply('orders', noJoins)
    for (let round = 0; round < 3; round++) {
      await world.post(RAW, ordersLog(round, 10))
      await runToEnd(world, state)
    }
    const events = await world.commitEvents()
    let next = 0
    let repeats = 0
    for (const event of events) {
      if (event.nextOffset === next) {
        repeats++
        continue
      }
      expect(event.firstOffset).toBe(next)
      next = event.nextOffset
    }
    expect(next).toBe(30)
    expect(repeats).toBe(2)
  })

  test('a duplicate is found after a restart, as long as it lies in the window', async () => {
    const state = await world.apply('orders', noJoins)
    const hour = 3_600_000
    await world.post(RAW, [
      { id: 'old', value: { n: 1 }, timestamp: 10 * hour },
      { id: 'young', value: { n: 2 }, timestamp: 10.5 * hour },
    ])
    await runToEnd(world, state)
    await world.post(RAW, [
      { id: 'young', value: { n: 3 }, timestamp: 11.4 * hour },
      { id: 'old', value: { n: 4 }, timestamp: 11 * hour },
    ])
    await runToEnd(world, state)
    expect((await decoded(await world.refinedOf('orders'))).map((r) => r!['n'])).toEqual([1, 2, 4])
    expect((await booksOf('orders')).counts).toMatchObject({ ok: 3, duplicate: 1 })
  })

  test('joins give the row of the key; a deleted row is missing; the row used is named', async () => {
    const customers = await world.apply('customers')
    const orders = await world.apply('orders')
    await world.post('raw.customers.v1', [
      { key: 'c1', id: '1', value: { id: 'c1', name: 'Ada' } },
      { key: 'c2', id: '2', value: { id: 'c2', name: 'Bo' } },
      { key: 'c1', id: '3', value: { id: 'c1', name: 'Ada L.' } },
      { key: 'c2', id: '4', value: null },
    ])
    await runToEnd(world, customers)
    await world.post(RAW, [
      { id: 'a', value: { n: 1, customer: 'c1' } },
      { id: 'b', value: { n: 2, customer: 'c2' } },
      { id: 'c', value: { n: 3 } },
    ])
    await runToEnd(world, orders, { joined: new Map([['customers', 1]]) })
    const refined = await world.refinedOf('orders')
    expect((await decoded(refined)).map((r) => r!['customer'])).toEqual(['Ada L.', null, null])
    const used = refined.map(({ record }) => headerText(record.headers, 'mesh-joins'))
    expect(used).toEqual([`customer=main;${customers.rawTopicId};0;2;0`, 'customer=', 'customer='])
  })

  test('a missing row is a dead letter where the contract says so', async () => {
    await world.apply('customers')
    const orders = await world.apply('orders', {
      contract: (c) => ({
        ...c,
        refine: { ...c.refine, joins: c.refine.joins.map((j) => ({ ...j, onMissing: 'dead-letter' as const })) },
      }),
    })
    await world.post(RAW, [{ id: 'a', value: { n: 1, customer: 'c1' } }])
    await runToEnd(world, orders, { joined: new Map([['customers', 1]]) })
    expect(codes(await world.deadLettersOf('orders'))).toEqual(['MESH_JOIN_MISSING'])
  })

  test('a table follows its topic while the stream runs', async () => {
    const customers = await world.apply('customers')
    const orders = await world.apply('orders')
    const joined = new Map([['customers', 1]])
    const running = await runStream(world, orders, { joined })
    await world.post('raw.customers.v1', [{ key: 'c1', id: '1', value: { id: 'c1', name: 'Ada' } }])
    await runToEnd(world, customers)
    let n = 0
    // The row arrives when it arrives: orders are posted until one has it.
    for (;;) {
      await world.post(RAW, [{ id: `o${n}`, value: { n: n++, customer: 'c1' } }])
      await caughtUp(world, orders, running)
      const last = (await decoded(await world.refinedOf('orders'))).at(-1)
      if (last?.['customer'] === 'Ada') break
      expect(n).toBeLessThan(1000)
    }
    await running.stop()
  })

  test('a new bundle decides from its offset on', async () => {
    const state = await world.apply('orders', noJoins)
    const strict = await world.bind('orders', {
      contract: (c) => ({ ...c, owner: 'other@example.com', refine: { ...c.refine, joins: [], dedupeWindowMs: 0 } }),
    })
    const [version] = state.versions
    const bundles = [version!.bundles[0]!, { ...strict, from: [2] }]
    await world.post(
      RAW,
      [1, 2, 3, 4].map((n) => ({ id: 'same', value: { n } })),
    )
    await runToEnd(world, { ...state, versions: [{ ...version!, bundles }] })
    const refined = await world.refinedOf('orders')
    expect((await decoded(refined)).map((r) => r!['n'])).toEqual([1, 3, 4])
    const used = refined.map(({ record }) => headerText(record.headers, 'mesh-code'))
    expect(used).toEqual([bundles[0]!.codeHash, strict.codeHash, strict.codeHash])
  })

  test('a raw topic that was made anew stops the runner', async () => {
    const state = await world.apply('orders', noJoins)
    await world.kafka.admin.deleteTopics([RAW])
    await world.kafka.admin.ensureTopics([{ name: RAW, partitions: 1, config: {} }])
    await expect(runStream(world, state)).rejects.toMatchObject({ code: 'MESH_KAFKA_TOPIC_RECREATED' })
  })

  test('a hash in metadata reads back as it was written', () => {
    expect(formatHash(parseHash('00ff'))).toBe('000000000000000000000000000000ff')
  })
})
