import { join } from 'node:path'
import { formatHash } from '@mesh/shared/core/books'
import type { RecordBatch } from '@mesh/shared/core/record'
import type { ReplayedHistory, StreamVersions } from '@mesh/shared/core/versions'
import type { Producer } from '@mesh/shared/kafka/port'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDedupeCache } from '../../src/adapters/dedupe-cache.ts'
import type { Source } from '../../src/core/arrival.ts'
import { createBodyCache } from '../../src/core/body-cache.ts'
import { readBooks } from '../../src/core/books-metadata.ts'
import type { RefineCode } from '../../src/core/decide.ts'
import { createDedupeStore, type DedupeStore } from '../../src/core/dedupe.ts'
import { NO_JOINS } from '../../src/core/joins.ts'
import { createMemoryBudget } from '../../src/core/memory-budget.ts'
import { rawSources, replayedSources } from '../../src/core/replayed.ts'
import { createPartitionWorker, type PartitionWorker } from '../../src/partition-worker.ts'
import { restorePartition } from '../../src/restore.ts'
import { createAckedWriter } from '../../src/step-writer.ts'
import type { WorkerContext } from '../../src/worker-context.ts'
import { recompute } from '../oracle.ts'
import { orderBooks, ordersLog, srcOf } from '../orders.ts'
import { codesOf, SILENT_TELEMETRY, TEST_LIMITS, testParking } from '../process.ts'
import { candidateOf, emitReplay, withRestarts } from '../replay.ts'
import { seeded } from '../seeded.ts'
import { createWorld, type Log, type Posted, type World } from '../world.ts'

const RAW = 'raw.orders.v1'
const TOPICS = {
  raw: RAW,
  refined: 'refined.orders.v1',
  deadLetter: 'dead-letter.orders.v1',
  state: 'mesh.state.orders.v1',
}
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
  const loader = codesOf(world)
  code = await loader.load(state.versions[0]!.bundles[0]!)
}

type Restoring = {
  changed?: RefineCode
  replay?: ReplayedHistory
  replayedTo?: number
  producer?: Pick<Producer, 'send'>
  openDedupe?: () => DedupeStore
}

async function restored(metadata: string | null, options: Restoring = {}): Promise<PartitionWorker> {
  const { changed = code, replay = null, replayedTo = null } = options
  const id = { stream: 'orders', version: 1, rawTopicId: state.rawTopicId, partition: 0 }
  const scope = { id, retainMs: changed.contract.refine.dedupeWindowMs, identity: 'test' }
  const openDedupe = options.openDedupe ?? (() => createDedupeStore(scope.retainMs))
  const { state: partition, ends } = await restorePartition(
    {
      kafka: world.kafka,
      topics: TOPICS,
      codeAt: () => changed,
      scope,
      openDedupe,
      openKeyed: null,
      openBodies: createBodyCache(10_000).open,
      transactional: false,
      replay,
    },
    { id, metadata, start: 0, replayedTo },
  )
  const context: WorkerContext = {
    topics: TOPICS,
    group: 'g',
    codeAt: () => changed,
    join: () => NO_JOINS,
    prefetch: async () => {},
    publish: async () => {},
    limits: { ...TEST_LIMITS, maxChunkBytes: 1500 },
    parking: { ...testParking(), read: async () => [] },
    wallClock: () => '',
    epochMs: () => 0,
    random: () => 0,
    telemetry: SILENT_TELEMETRY,
  }
  const producer = options.producer ?? (await world.kafka.producer())
  return createPartitionWorker(partition, context, createAckedWriter(producer, TOPICS, { partition: 0, ends }))
}

const diskStore = (retainMs: number): DedupeStore =>
  openDedupeCache({
    dir: join(world.cacheDir, 'dedupe'),
    identity: 'test',
    retainMs,
    segmentIds: 3,
    budget: createMemoryBudget(1e9),
  })

/** Acks and writes nothing: what is found on the refined topic would settle fates and hide what the dedupe says. */
function nowhere(): Pick<Producer, 'send'> {
  const ends = new Map<string, number>()
  return {
    async send(topic, records) {
      const first = ends.get(topic) ?? 0
      ends.set(topic, first + records.length)
      return records.map((_, i) => first + i)
    },
  }
}

/** The books' checkpoint as it was before anything was on the refined topic. */
async function unpublished(worker: PartitionWorker, nextOffset: number): Promise<string> {
  return JSON.stringify({ ...JSON.parse((await worker.checkpoint(nextOffset)).metadata), refinedNext: 0 })
}

/** Raw records [from, to) as one batch. */
async function batch(from: number, to: number): Promise<RecordBatch> {
  const records = (await world.rawOf('orders')).map(({ record }) => record).slice(from, to)
  return { topic: RAW, topicId: state.rawTopicId, partition: 0, firstOffset: from, nextOffset: to, records }
}
const from = (rest: RecordBatch, offset: number): RecordBatch => ({
  ...rest,
  records: rest.records.filter((record) => record.offset >= offset),
})
const run = async (worker: PartitionWorker, from: number, to: number) =>
  worker.run(rawSources(await batch(from, to)), to)
const publishedSrcs = async () => (await world.refinedOf('orders')).map(({ record }) => srcOf(record))

describe('a restored partition', { timeout: 300_000 }, () => {
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
      const straight = await restored(null, { producer: nowhere() })
      const cuts: string[] = []
      for (let n = 0; n < log.length; n++) {
        cuts.push(await unpublished(straight, n))
        await run(straight, n, n + 1)
      }
      for (const [cut, metadata] of cuts.entries()) {
        const worker = await restored(metadata, { producer: nowhere() })
        await run(worker, cut, log.length)
        const books = readBooks((await worker.checkpoint(log.length)).metadata, 'test')
        expect(books.counts, `seed ${seed}, cut ${cut}`).toEqual(expected.counts)
        expect(formatHash(books.hash)).toBe(expected.hash)
      }
    }
  })

  test('a store on disk that is behind is caught up, and one that is ahead of the books is not believed', async () => {
    for (let seed = 1; seed <= 2; seed++) {
      await world.close()
      world = await createWorld()
      await apply(1 + seeded(seed).below(80))
      const log = outOfOrder(seed)
      await world.post(RAW, log)
      const expected = await orderBooks(world, state)
      const cuts: string[] = []
      const straight = await restored(null, { producer: nowhere() })
      for (let n = 0; n < log.length; n++) {
        cuts.push(await unpublished(straight, n))
        await run(straight, n, n + 1)
      }
      const forward = cuts.map((metadata, cut) => ({ metadata, cut }))
      const positions: (number | null)[] = []
      for (const { metadata, cut } of [...forward, ...forward.toReversed()]) {
        const store = diskStore(code.contract.refine.dedupeWindowMs)
        positions.push(store.position())
        const worker = await restored(metadata, { producer: nowhere(), openDedupe: () => store })
        // What a restore finds in the log may be kept; what is decided after it is not committed.
        await run(worker, cut, log.length)
        store.close()
        const books = readBooks((await worker.checkpoint(log.length)).metadata, 'test')
        expect(books.counts, `seed ${seed}, cut ${cut}`).toEqual(expected.counts)
      }
      expect(positions.filter((position, i) => i < cuts.length && (position ?? 0) > i)).toEqual([])
      expect(positions.some((position) => (position ?? 0) > 10)).toBe(true)
    }
  })

  test('decides at every cut of a replayed history, whatever part of it raw still holds', async () => {
    for (let seed = 1; seed <= 6; seed++) {
      const random = seeded(seed + 40)
      const changeover = 20 + random.below(20)
      await expectSameAtEveryCut({
        log: outOfOrder(seed),
        windowMs: 1 + random.below(40),
        changeover,
        emitted: (history) => withRestarts(history, 9, 5),
        trim: seed % 2 === 0 ? changeover : random.below(changeover),
      })
    }
  })

  test('raw time that rose in the replayed part holds for late timestamps in raw', async () => {
    await expectSameAtEveryCut({
      log: logOf(['x', 1000], ['a', 100], ['b', 100], ['a', 100], ['b', 1049]),
      windowMs: 50,
      changeover: 1,
      emitted: (history) => history,
      trim: 1,
    })
  })

  test('a redelivery does not renew an id', async () => {
    await expectSameAtEveryCut({
      log: logOf(['a', 100], ['b', 130], ['c', 135], ['a', 136], ['c', 136]),
      windowMs: 10,
      changeover: 2,
      emitted: (history) => [...history, ...history],
      trim: 2,
    })
  })

  test('takes what an earlier run wrote as the fates, also over several steps and several crashes', async () => {
    await apply()
    await world.post(RAW, ordersLog(3, 40))
    const first = await restored(null)
    const start = (await first.checkpoint(0)).metadata
    await run(first, 0, 40)
    const written = await publishedSrcs()
    let metadata = start
    for (let from = 0; from < 40; from += 3) {
      const worker = await restored(metadata)
      const to = Math.min(40, from + 3)
      await run(worker, from, to)
      metadata = (await worker.checkpoint(to)).metadata
      expect(await publishedSrcs()).toEqual(written)
      // The books cover the refined topic exactly as far as they reach in raw.
      const { counts, refinedNext } = readBooks(metadata, 'test')
      expect(refinedNext).toBe(counts.outputs)
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
    const start = (await first.checkpoint(0)).metadata
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
    const second = await restored(start, { changed: flipped })
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

  test('a zombie that writes the same outputs again stops itself, and what it wrote is read as a redelivery', async () => {
    await apply()
    await world.post(RAW, ordersLog(8, 20))
    const first = await restored(null)
    const zombie = await restored(null)
    const start = (await first.checkpoint(0)).metadata
    await run(first, 0, 20)
    await expect(run(zombie, 0, 20)).rejects.toMatchObject({ code: 'MESH_REFINE_FENCED' })
    expect((await publishedSrcs()).length).toBeGreaterThan(new Set(await publishedSrcs()).size)
    const second = await restored(start)
    await run(second, 0, 20)
    const expected = await orderBooks(world, state)
    const books = readBooks((await second.checkpoint(20)).metadata, 'test')
    expect(books.counts).toEqual(expected.counts)
    expect(formatHash(books.hash)).toBe(expected.hash)
  })

  test('a refined topic that ends below the books is another topic', async () => {
    await apply()
    await world.post(RAW, ordersLog(2, 20))
    const first = await restored(null)
    await run(first, 0, 20)
    const { metadata } = await first.checkpoint(20)
    await world.kafka.admin.deleteTopics([TOPICS.refined])
    await world.kafka.admin.ensureTopics([{ name: TOPICS.refined, partitions: 1, config: {} }])
    await expect(restored(metadata)).rejects.toMatchObject({ code: 'MESH_KAFKA_TOPIC_RECREATED' })
  })
})

const logOf = (...entries: readonly [id: string, timestamp: number][]): Posted[] =>
  entries.map(([id, timestamp], n) => ({ id, timestamp, value: { n } }))

type Replayed = {
  readonly log: readonly Posted[]
  readonly windowMs: number
  readonly changeover: number
  /** What the replay topic holds of the history before the changeover. */
  readonly emitted: (history: Log) => Log
  /** Raw below it is gone when the process starts again. */
  readonly trim: number
}

/** Stops after every record of the replay topic and of raw, restores, and runs to the end: always the books of the whole log. */
async function expectSameAtEveryCut({ log, windowMs, changeover, emitted, trim }: Replayed): Promise<void> {
  await world.close()
  world = await createWorld()
  await apply(windowMs)
  await world.post(RAW, log)
  const expected = await orderBooks(world, state)
  expect(expected.counts.duplicate).toBeGreaterThan(0)
  await candidateOf(world, state, { ends: null, changeover: [changeover] })
  const ends = await emitReplay(world, 'orders', emitted((await world.rawOf('orders')).slice(0, changeover)), state)
  const end = ends[0]!
  const replay = (await candidateOf(world, state, { ends, changeover: [changeover] })).versions[1]!.replay!
  const replayed = (await world.read(replay.topic)).map(({ record }) => record)
  const history = (from: number, to: number): Iterable<Source> => {
    const bounds = { topic: replay.topic, topicId: replay.topicId, partition: 0, firstOffset: from, nextOffset: to }
    const of = { topicId: state.rawTopicId, partition: 0 }
    return replayedSources({ ...bounds, records: replayed.slice(from, to) }, end, of)
  }
  const rest = await batch(changeover, log.length)
  const cuts: { metadata: string; replayedTo: number | null }[] = []
  const straight = await restored(null, { replay, replayedTo: 0, producer: nowhere() })
  for (let n = 0; n < end; n++) {
    cuts.push({ metadata: await unpublished(straight, n), replayedTo: n })
    await straight.run(history(n, n + 1))
  }
  await straight.run([], changeover)
  for (let n = changeover; n < log.length; n++) {
    cuts.push({ metadata: await unpublished(straight, n), replayedTo: null })
    await run(straight, n, n + 1)
  }
  world.kafka.trim(RAW, 0, trim)
  for (const [cut, { metadata, replayedTo }] of cuts.entries()) {
    const options = { replay, producer: nowhere(), ...(replayedTo !== null && { replayedTo }) }
    const worker = await restored(metadata, options)
    if (replayedTo !== null) await worker.run(history(replayedTo, end))
    await worker.run([], changeover)
    await worker.run(rawSources(from(rest, worker.sourceNext())), log.length)
    const books = readBooks((await worker.checkpoint(log.length)).metadata, 'test')
    expect(books.counts, `cut ${cut}`).toEqual({ ...expected.counts, redelivered: end - changeover })
    expect(formatHash(books.hash)).toBe(expected.hash)
  }
}

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
