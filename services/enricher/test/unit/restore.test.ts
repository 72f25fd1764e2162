import { formatHash } from '@mesh/shared/core/books'
import type { RecordBatch } from '@mesh/shared/core/record'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createCodeLoader } from '../../src/adapters/code-loader.ts'
import { readBooks } from '../../src/core/books.ts'
import type { RefineCode } from '../../src/core/decide.ts'
import { rawSources } from '../../src/core/replayed.ts'
import { createPartitionWorker, type PartitionWorker } from '../../src/partition-worker.ts'
import { restorePartition } from '../../src/restore.ts'
import { recompute } from '../oracle.ts'
import { orderBooks, ordersLog, srcOf } from '../orders.ts'
import { SILENT_TELEMETRY } from '../process.ts'
import { seeded } from '../seeded.ts'
import { createWorld, type Posted, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
const TOPICS = { raw: RAW, refined: 'refined.orders.v1', deadLetter: 'dead-letter.orders.v1' }
let world: World
let state: StreamVersions
let code: RefineCode
beforeEach(async () => {
  world = await createWorld()
})
afterEach(() => world.close())

async function apply(windowMs = 3_600_000): Promise<void> {
  const contract = (c: RefineCode['contract']) => ({
    ...c,
    refine: { ...c.refine, joins: [], dedupeWindowMs: windowMs },
  })
  state = await world.apply('orders', { contract })
  const loader = createCodeLoader({ store: world.store, codec: world.codec, cacheDir: world.cacheDir })
  code = await loader.load(state.versions[0]!.bundles[0]!)
}

async function restored(metadata: string | null, changed: RefineCode = code): Promise<PartitionWorker> {
  const id = { stream: 'orders', version: 1, rawTopicId: state.rawTopicId, partition: 0 }
  const retainMs = changed.contract.refine.dedupeWindowMs
  const partition = await restorePartition(
    { kafka: world.kafka, topics: TOPICS, codeAt: () => changed, retainMs, replay: null },
    { id, metadata, start: 0, replayedTo: null },
  )
  return createPartitionWorker(partition, {
    topics: TOPICS,
    group: 'g',
    codeAt: () => changed,
    findRow: () => null,
    producer: await world.kafka.producer(),
    publish: async () => {},
    limits: { maxChunkBytes: 1500, maxOutputBytes: 100_000 },
    wallClock: () => '',
    telemetry: SILENT_TELEMETRY,
  })
}

/** Raw records [from, to) as one batch. */
async function batch(from: number, to: number): Promise<RecordBatch> {
  const records = (await world.rawOf('orders')).map(({ record }) => record).slice(from, to)
  return { topic: RAW, topicId: state.rawTopicId, partition: 0, firstOffset: from, nextOffset: to, records }
}
const run = async (worker: PartitionWorker, from: number, to: number) =>
  worker.run(rawSources(await batch(from, to)), to)
const publishedSrcs = async () => (await world.refinedOf('orders')).map(({ record }) => srcOf(record))

describe('a restored partition', () => {
  test('decides at every cut of the log as if it had never stopped', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      await world.close()
      world = await createWorld()
      const windowMs = 1 + seeded(seed).below(80)
      await apply(windowMs)
      const log = outOfOrder(seed)
      await world.post(RAW, log)
      const expected = await orderBooks(world, state)
      expect(expected.counts.duplicate).toBeGreaterThan(0)
      const straight = await restored(null)
      const cuts: string[] = []
      for (let n = 0; n < log.length; n++) {
        cuts.push(straight.checkpoint(n).metadata)
        await run(straight, n, n + 1)
      }
      for (const [cut, metadata] of cuts.entries()) {
        const worker = await restored(metadata)
        await run(worker, cut, log.length)
        const books = readBooks(worker.checkpoint(log.length).metadata, 'test')
        expect(books.counts, `seed ${seed}, cut ${cut}`).toEqual(expected.counts)
        expect(formatHash(books.hash)).toBe(expected.hash)
      }
    }
  })

  test('takes what an earlier run wrote as the fates, also over several steps and several crashes', async () => {
    await apply()
    await world.post(RAW, ordersLog(3, 40))
    const first = await restored(null)
    const start = first.checkpoint(0).metadata
    await run(first, 0, 40)
    const written = await publishedSrcs()
    let metadata = start
    for (let from = 0; from < 40; from += 3) {
      const worker = await restored(metadata)
      const to = Math.min(40, from + 3)
      await run(worker, from, to)
      metadata = worker.checkpoint(to).metadata
      expect(await publishedSrcs()).toEqual(written)
    }
    const expected = await orderBooks(world, state)
    const books = readBooks(metadata, 'test')
    expect(books.counts).toEqual(expected.counts)
    expect(formatHash(books.hash)).toBe(expected.hash)
    expect(books.refinedNext).toBe(written.length)
  })

  test('keeps the fates of the first run under a code that would decide otherwise', async () => {
    await apply()
    await world.post(RAW, ordersLog(5, 30))
    const first = await restored(null)
    const start = first.checkpoint(0).metadata
    await run(first, 0, 20)
    const written = await publishedSrcs()
    const flipped: RefineCode = {
      ...code,
      refine: (event, context) => {
        const outcome = code.refine!(event, context)
        return outcome.kind === 'drop'
          ? { kind: 'ok', outputs: [{ record: { n: 0 } }] }
          : { kind: 'drop', reason: 'flipped' }
      },
    }
    const second = await restored(start, flipped)
    await run(second, 0, 30)
    const before = await orderBooks(world, state)
    const after = recompute(
      (await world.rawOf('orders')).map(({ offset, record }) => ({ offset, record })),
      { topicId: state.rawTopicId, partition: 0 },
      { code: flipped },
    )
    const lastWritten = Math.max(...written.map((src) => Number(src.split(';')[3])))
    const changed = after.fates.filter(
      (fate, n) => n < lastWritten && fate.kind === 'ok' && fate.records.length > 0 && before.fates[n]!.kind === 'drop',
    )
    const dead = await world.deadLettersOf('orders')
    const codes = dead.map(({ record }) =>
      Buffer.from(record.headers.find((h) => h.name === 'mesh-error-code')!.value!).toString(),
    )
    expect(changed.length).toBeGreaterThan(0)
    expect(codes.filter((name) => name === 'MESH_REFINE_FATE_CHANGED').length).toBe(changed.length)
    expect((await publishedSrcs()).slice(0, written.length)).toEqual(written)
    const emittedLater = (await publishedSrcs()).slice(written.length).map((src) => Number(src.split(';')[3]))
    expect(Math.min(...emittedLater)).toBeGreaterThan(lastWritten)
  })

  test('a zombie that writes the same outputs again is read as a redelivery', async () => {
    await apply()
    await world.post(RAW, ordersLog(8, 20))
    const first = await restored(null)
    const zombie = await restored(null)
    const start = first.checkpoint(0).metadata
    await run(first, 0, 20)
    await run(zombie, 0, 20)
    const second = await restored(start)
    await run(second, 0, 20)
    const expected = await orderBooks(world, state)
    const books = readBooks(second.checkpoint(20).metadata, 'test')
    expect(books.counts).toEqual(expected.counts)
    expect(formatHash(books.hash)).toBe(expected.hash)
  })

  test('a refined topic that ends below the books is another topic', async () => {
    await apply()
    await world.post(RAW, ordersLog(2, 20))
    const first = await restored(null)
    await run(first, 0, 20)
    const { metadata } = first.checkpoint(20)
    await world.kafka.admin.deleteTopics([TOPICS.refined])
    await world.kafka.admin.ensureTopics([{ name: TOPICS.refined, partitions: 1, config: {} }])
    await expect(restored(metadata)).rejects.toMatchObject({ code: 'MESH_KAFKA_TOPIC_RECREATED' })
  })
})

/** Few ids, timestamps that jump ahead and fall back, poison among them. */
function outOfOrder(seed: number): Posted[] {
  const random = seeded(seed + 500)
  let clock = 1000
  return Array.from({ length: 50 }, (_, n) => {
    clock += random.below(12)
    const ahead = random.chance(0.1)
    const timestamp = ahead ? clock + random.below(120) : random.chance(0.3) ? random.below(clock) : clock
    const value = random.chance(0.1) ? Buffer.from('{') : { n }
    return { id: `id-${random.below(8)}`, value, timestamp }
  })
}
