import { bytesText, headerText, type KafkaRecord, textBytes } from '@mesh/shared/core/record'
import type { ReplayJob, ReplayRequest } from '@mesh/shared/core/replay-api'
import { findVersion, type StreamVersions } from '@mesh/shared/core/versions'
import { createMemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cutOver } from '../../src/core/versions-transitions.ts'
import type { Replayer } from '../../src/service.ts'
import { catchUpSinks, exactSources, runCandidate, runLive } from '../support/candidate.ts'
import { produceRaw, writeBronze } from '../support/raw-history.ts'
import { MINIMAL, putStream } from '../support/streams.ts'
import { createTestMesh, settle, type TestMesh, until, untilState } from '../support/test-mesh.ts'

const AT = Date.parse('2026-03-01T00:00:00Z')
const COUNT = 40
let mesh: TestMesh
let replayer: Replayer
let rawTopicId: string
let hash: string

beforeEach(async () => {
  mesh = await createTestMesh()
  replayer = await mesh.start()
  const bundle = await putStream(mesh.store, { name: 'orders' })
  hash = bundle.hash
  rawTopicId = (await replayer.binder.bind('orders', hash)).versions.rawTopicId
  for (const partition of [0, 1]) {
    await produceRaw(mesh.producer, 'orders', { partition, count: COUNT, timestamp: (i) => AT - 60_000 + i })
    await writeBronze(mesh, 'orders', { partition, to: 25, perObject: 10 })
  }
  await runLive(mesh.kafka, 'orders')
})
afterEach(async () => {
  await mesh.stop()
  expect(mesh.failures.filter((failure) => failure.startsWith('fatal'))).toEqual([])
})

const start = (request: Partial<ReplayRequest> = {}): Promise<ReplayJob> =>
  replayer.replays.start({ stream: 'orders', ...request })
const emitted = (job: ReplayJob, partition: number): number[] =>
  exactSources(mesh.kafka.log(job.replayTopic, partition), rawTopicId, partition)
const span = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

async function replayed(job: ReplayJob, partition: number): Promise<readonly KafkaRecord[]> {
  const topics = await mesh.kafka.admin.listTopics()
  return topics.includes(job.replayTopic) ? mesh.kafka.log(job.replayTopic, partition) : []
}

/** To READY, as if enricher and sinks had done their work. */
async function toReady(job: ReplayJob): Promise<void> {
  await untilState(mesh, replayer, job.id, 'DRAINED')
  await runCandidate(mesh.kafka, mesh.producer, replayer, job)
  await untilState(mesh, replayer, job.id, 'READY')
}

describe('a replay from the lake and the log', () => {
  test('runs through every state, and the new version is live afterwards', async () => {
    const job = await start()
    expect(job).toMatchObject({ state: 'PLANNED', version: 2, changeover: [COUNT, COUNT], cleaned: false })
    expect(job.plan.partitions).toEqual(
      [0, 1].map((partition) => ({ partition, from: 0, to: COUNT, lakeTo: 25, holes: 0 })),
    )
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect(findVersion(replayer.versions.get('orders')!, 2)).toMatchObject({
      status: 'candidate',
      start: [0, 0],
      bundles: [{ hash, from: [0, 0] }],
      replay: { job: job.id, topic: job.replayTopic, ends: [COUNT, COUNT], changeover: [COUNT, COUNT] },
    })
    expect(mesh.registry.subjects.has('refined.orders.v2-value')).toBe(true)
    await toReady(job)
    expect((await mesh.kafka.admin.topicConfig('refined.orders.v2'))['retention.ms']).toBe('-1')
    const done = await settle(mesh, replayer.replays.cutOver(job.id))
    expect(done.state).toBe('CUTOVER')
    const state = replayer.versions.get('orders')!
    expect(state).toMatchObject({ live: 2, epoch: 1 })
    expect(state.versions.map((v) => [v.version, v.status, v.replay])).toEqual([
      [1, 'retired', null],
      [2, 'live', null],
    ])
    await until(mesh, () => replayer.replays.get(job.id).cleaned)
    const topics = await mesh.kafka.admin.listTopics()
    expect(topics).not.toContain(job.replayTopic)
    expect(topics).toContain('refined.orders.v2')
    expect((await mesh.kafka.admin.topicConfig('refined.orders.v2'))['retention.ms']).toBe(String(7 * 86_400_000))
    expect(mesh.entered).toEqual(['PREPARED', 'RUNNING', 'DRAINED', 'READY', 'CUTOVER'])
    expect(mesh.failures).toEqual([])
  })

  test('keeps order, key, value, headers, timestamp and partition of the source, and adds its coordinate', async () => {
    const job = await start()
    await untilState(mesh, replayer, job.id, 'DRAINED')
    for (const partition of [0, 1]) {
      const source = mesh.kafka.log('raw.orders.v1', partition)
      const copies = mesh.kafka.log(job.replayTopic, partition)
      expect(copies).toHaveLength(COUNT)
      copies.forEach((copy, i) => {
        const { key, value, timestamp, headers, offset } = source[i]!
        expect(copy.key).toEqual(key)
        expect(copy.value).toEqual(value)
        expect(copy.timestamp).toBe(timestamp)
        const own = copy.headers.filter((h) => h.name.startsWith('mesh-'))
        expect(copy.headers.filter((h) => !h.name.startsWith('mesh-'))).toEqual(
          headers.filter((h) => !h.name.startsWith('mesh-')),
        )
        expect(own.map((h) => [h.name, bytesText(h.value!)])).toEqual([
          ['mesh-src', `main;${rawTopicId};${partition};${offset};0`],
          ['mesh-replay', job.id],
        ])
      })
    }
  })

  test('a restarted replayer continues after the last source in each partition', async () => {
    const job = await start({ recordsPerSecond: 40 })
    await until(mesh, async () => (await replayed(job, 0)).length > 0)
    replayer = await mesh.start()
    await untilState(mesh, replayer, job.id, 'DRAINED')
    for (const partition of [0, 1]) {
      expect(emitted(job, partition)).toEqual(span(0, COUNT))
      expect(mesh.kafka.log(job.replayTopic, partition)).toHaveLength(COUNT)
    }
  })

  test('a send of unknown outcome repeats records, and their readers still see each once and in order', async () => {
    const job = await start({ recordsPerSecond: 20 })
    await until(mesh, async () => (await replayed(job, 0)).length > 0)
    mesh.kafka.failSends(new Error('timed out'), 'after')
    await until(mesh, () => mesh.failures.length > 0)
    mesh.kafka.failSends(null)
    await untilState(mesh, replayer, job.id, 'DRAINED')
    for (const partition of [0, 1]) expect(emitted(job, partition)).toEqual(span(0, COUNT))
    expect(mesh.failures[0]).toContain('timed out')
  })

  test('history that has left the log comes from the lake', async () => {
    for (const partition of [0, 1]) mesh.kafka.trim('raw.orders.v1', partition, 20)
    const job = await start()
    await untilState(mesh, replayer, job.id, 'DRAINED')
    for (const partition of [0, 1]) expect(emitted(job, partition)).toEqual(span(0, COUNT))
  })

  test('the bundle may be another one, with parts that a live version keeps', async () => {
    const yaml = `${MINIMAL}warehouse: { table: ORDERS_AGAIN }\n`
    const other = await putStream(mesh.store, { name: 'orders', yaml })
    const job = await start({ bundle: other.hash })
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect(findVersion(replayer.versions.get('orders')!, 2)!.bundles[0]!.hash).toBe(other.hash)
    const repartitioned = await putStream(mesh.store, {
      name: 'orders',
      yaml: 'raw: { partitions: 3, retention: 7d }\n',
    })
    await replayer.replays.cancel(job.id)
    await expect(start({ bundle: repartitioned.hash })).rejects.toMatchObject({ code: 'MESH_STREAM_NEEDS_RAW' })
  })

  test('an empty history is drained at once', async () => {
    const job = await start({ from: { '0': COUNT, '1': COUNT } })
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect(findVersion(replayer.versions.get('orders')!, 2)).toMatchObject({
      start: [COUNT, COUNT],
      replay: { ends: [0, 0], changeover: [COUNT, COUNT] },
    })
  })
})

describe('ranges', () => {
  test('offsets per partition; one left out has no bound', async () => {
    const job = await start({ from: { '0': 7 }, to: { '1': 12 } })
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect(emitted(job, 0)).toEqual(span(7, COUNT))
    expect(emitted(job, 1)).toEqual(span(0, 12))
    expect(findVersion(replayer.versions.get('orders')!, 2)).toMatchObject({
      start: [7, 0],
      replay: { changeover: [COUNT, 12] },
    })
  })

  test('times: from and to are the earliest offsets at or after them, in the log', async () => {
    const job = await start({
      from: new Date(AT - 60_000 + 5).toISOString(),
      to: new Date(AT - 60_000 + 30).toISOString(),
    })
    await untilState(mesh, replayer, job.id, 'DRAINED')
    for (const partition of [0, 1]) expect(emitted(job, partition)).toEqual(span(5, 30))
  })

  test('times: and in the lake, where the log has lost them', async () => {
    for (const partition of [0, 1]) mesh.kafka.trim('raw.orders.v1', partition, 22)
    const job = await start({ from: '2026-02-28T23:59:00.005Z' })
    expect(job.plan.partitions.map((partition) => partition.from)).toEqual([5, 5])
  })

  test('a time that may lie where neither log nor lake reaches is refused', async () => {
    mesh.kafka.trim('raw.orders.v1', 0, 30)
    await expect(start({ from: '2026-02-28T23:59:00.027Z', source: 'log' })).rejects.toMatchObject({
      code: 'MESH_REPLAY_GAP',
      message: expect.stringContaining('partition 0 offsets [25, 30)') as string,
    })
  })

  test.each([
    [{ from: { '0': 30 }, to: { '0': 20 } }, 'is no range'],
    [{ to: { '0': COUNT + 1 } }, `ends at ${COUNT}`],
    [{ from: { '2': 0 } }, 'partition 2 does not exist'],
    [{ from: 'yesterday' }, 'RFC 3339'],
    [{ from: '2026-02-28T23:59:00' }, 'RFC 3339'],
  ])('%j is refused', async (request, text) => {
    await expect(start(request as Partial<ReplayRequest>)).rejects.toMatchObject({
      code: 'MESH_REPLAY_INVALID',
      message: expect.stringContaining(text) as string,
    })
  })

  test('the same request over the same history gives the same plan', async () => {
    const first = await start()
    await replayer.replays.cancel(first.id)
    expect((await start()).plan).toEqual(first.plan)
  })
})

describe('sources', () => {
  test('the log alone, where it still holds everything', async () => {
    const job = await start({ source: 'log' })
    expect(job.plan.partitions.map((partition) => partition.lakeTo)).toEqual([0, 0])
    await untilState(mesh, replayer, job.id, 'DRAINED')
    for (const partition of [0, 1]) expect(emitted(job, partition)).toEqual(span(0, COUNT))
  })

  test('the lake alone names what bronze does not have yet', async () => {
    await expect(start({ source: 'lake' })).rejects.toMatchObject({
      code: 'MESH_REPLAY_GAP',
      message: `partition 0 offsets [25, ${COUNT}) are not in the lake; partition 1 offsets [25, ${COUNT}) are not in the lake`,
    })
    const job = await start({ source: 'lake', to: { '0': 25, '1': 20 } })
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect([emitted(job, 0), emitted(job, 1)]).toEqual([span(0, 25), span(0, 20)])
  })

  test('the log alone names what retention took', async () => {
    mesh.kafka.trim('raw.orders.v1', 1, 3)
    await expect(start({ source: 'log' })).rejects.toMatchObject({
      code: 'MESH_REPLAY_GAP',
      message: 'partition 1 offsets [0, 3) are not in the log',
    })
  })

  test('what neither has is named', async () => {
    mesh.kafka.trim('raw.orders.v1', 1, 31)
    await expect(start()).rejects.toMatchObject({
      code: 'MESH_REPLAY_GAP',
      message: 'partition 1 offsets [25, 31) are not in the log',
    })
  })

  test('an end that the log has lost cannot be where the candidate takes up raw', async () => {
    mesh.kafka.trim('raw.orders.v1', 0, 20)
    await expect(start({ to: { '0': 15 } })).rejects.toMatchObject({
      code: 'MESH_REPLAY_GAP',
      message: 'partition 0 offsets [15, 20) are not in the log',
    })
  })

  test('retention that overtakes a running replay sends it to the lake, once bronze has caught up', async () => {
    const job = await start({ recordsPerSecond: 40 })
    await until(mesh, async () => (await replayed(job, 0)).length > 0)
    const caughtUp = createMemoryObjectStore()
    for (const [key, bytes] of mesh.store.objects) await caughtUp.create(key, bytes)
    await writeBronze({ kafka: mesh.kafka, store: caughtUp }, 'orders', { partition: 0, to: COUNT })
    mesh.kafka.trim('raw.orders.v1', 0, 38)
    await until(mesh, () => replayer.replays.get(job.id).error?.code === 'MESH_REPLAY_GAP')
    expect(replayer.replays.get(job.id).state).toBe('RUNNING')
    for (const [key, bytes] of caughtUp.objects) await mesh.store.create(key, bytes)
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect(replayer.replays.get(job.id).error).toBeNull()
    expect(emitted(job, 0)).toEqual(span(0, COUNT))
  })
})

describe('one candidate at a time', () => {
  test('a second replay of the stream is refused until the first is over', async () => {
    const job = await start()
    await expect(start()).rejects.toMatchObject({ code: 'MESH_REPLAY_BUSY' })
    await untilState(mesh, replayer, job.id, 'DRAINED')
    await expect(start()).rejects.toMatchObject({ code: 'MESH_REPLAY_BUSY' })
    await replayer.replays.cancel(job.id)
    expect(await start()).toMatchObject({ version: 3 })
  })

  test('two calls at once start one', async () => {
    const outcomes = await Promise.allSettled([start(), start()])
    expect(outcomes.map((outcome) => outcome.status).toSorted()).toEqual(['fulfilled', 'rejected'])
  })

  test('an unknown stream and an unknown job are told', async () => {
    await expect(start({ stream: 'nothing' })).rejects.toMatchObject({ code: 'MESH_STREAM_UNKNOWN' })
    expect(() => replayer.replays.get('nothing')).toThrow(expect.objectContaining({ code: 'MESH_REPLAY_UNKNOWN' }))
  })
})

describe('cancelling', () => {
  test('takes effect in the middle of emitting, and leaves nothing behind', async () => {
    const job = await start({ recordsPerSecond: 1 })
    await until(mesh, () => replayer.replays.get(job.id).state === 'RUNNING')
    const cancelled = await replayer.replays.cancel(job.id)
    expect(cancelled.state).toBe('CANCELLED')
    expect(replayer.versions.get('orders')).toMatchObject({ live: 1, epoch: 0, versions: [{ version: 1 }] })
    await until(mesh, () => replayer.replays.get(job.id).cleaned)
    const topics = await mesh.kafka.admin.listTopics()
    expect(topics).not.toContain(job.replayTopic)
    expect(topics).not.toContain('refined.orders.v2')
    expect(topics).toContain('refined.orders.v1')
    expect(mesh.failures).toEqual([])
  })

  test('while the candidate is being prepared, it never comes to be', async () => {
    const registered = Promise.withResolvers<void>()
    const asked = Promise.withResolvers<void>()
    const { registry } = mesh
    const register = registry.register.bind(registry)
    registry.register = async (subject, avsc) => {
      asked.resolve()
      await registered.promise
      return register(subject, avsc)
    }
    const job = await start()
    await settle(mesh, asked.promise)
    await replayer.replays.cancel(job.id)
    registered.resolve()
    await until(mesh, () => replayer.replays.get(job.id).cleaned)
    const records = mesh.kafka.log('mesh.versions', 0).map((r) => JSON.parse(bytesText(r.value!)) as StreamVersions)
    expect(records.filter((state) => findVersion(state, 2))).toEqual([])
    expect(await mesh.kafka.admin.listTopics()).not.toContain(job.replayTopic)
  })

  test('is idempotent, and refused after cutover', async () => {
    const job = await start()
    await replayer.replays.cancel(job.id)
    expect((await replayer.replays.cancel(job.id)).state).toBe('CANCELLED')
    const second = await start()
    await toReady(second)
    await settle(mesh, replayer.replays.cutOver(second.id))
    await expect(replayer.replays.cancel(second.id)).rejects.toMatchObject({ code: 'MESH_REPLAY_INVALID' })
  })
})

describe('cutting over', () => {
  test('is refused while emitting, with how far it is', async () => {
    const job = await start({ recordsPerSecond: 1 })
    await until(mesh, () => replayer.replays.get(job.id).state === 'RUNNING')
    await expect(replayer.replays.cutOver(job.id)).rejects.toMatchObject({
      code: 'MESH_REPLAY_NOT_READY',
      message: expect.stringContaining('RUNNING') as string,
    })
  })

  test('is refused while the candidate is behind, with the numbers', async () => {
    const job = await start()
    await untilState(mesh, replayer, job.id, 'DRAINED')
    await expect(settle(mesh, replayer.replays.cutOver(job.id))).rejects.toMatchObject({
      code: 'MESH_REPLAY_NOT_READY',
      message: expect.stringContaining(`partition 0: enricher ${COUNT}, silver 0, landing 0 behind`) as string,
    })
    expect(replayer.replays.get(job.id).progress.candidateLag).toEqual(
      [0, 1].map((partition) => ({ partition, enricher: COUNT, silver: 0, landing: 0, parked: 0 })),
    )
  })

  test('is refused while a sink is behind', async () => {
    const job = await start()
    await toReady(job)
    await mesh.producer.send(job.refinedTopic, [{ partition: 1, key: null, value: null, headers: [] }])
    mesh.clock.advance(60_000)
    await expect(settle(mesh, replayer.replays.cutOver(job.id))).rejects.toMatchObject({
      message: expect.stringContaining('partition 1: enricher 0, silver 1, landing 1 behind') as string,
    })
    await catchUpSinks(mesh.kafka, job)
    expect((await settle(mesh, replayer.replays.cutOver(job.id))).state).toBe('CUTOVER')
  })

  test('is refused while the live version has gone on without the candidate', async () => {
    const job = await start()
    await toReady(job)
    await produceRaw(mesh.producer, 'orders', { partition: 0, count: 3, timestamp: () => AT })
    await runLive(mesh.kafka, 'orders')
    await expect(settle(mesh, replayer.replays.cutOver(job.id))).rejects.toMatchObject({
      message: expect.stringContaining('partition 0: enricher 3') as string,
    })
  })

  test('is idempotent', async () => {
    const job = await start()
    await toReady(job)
    await settle(mesh, replayer.replays.cutOver(job.id))
    expect((await settle(mesh, replayer.replays.cutOver(job.id))).state).toBe('CUTOVER')
    expect(replayer.versions.get('orders')!.epoch).toBe(1)
  })

  test('that was recorded before a crash is finished by the restarted replayer alone', async () => {
    const job = await start()
    await toReady(job)
    const state = replayer.versions.get('orders')!
    await mesh.stop()
    const value = textBytes(JSON.stringify(cutOver(state, 2, 'at')))
    await mesh.producer.send('mesh.versions', [{ partition: 0, key: textBytes('orders'), value, headers: [] }])
    replayer = await mesh.start()
    await untilState(mesh, replayer, job.id, 'CUTOVER')
    await until(mesh, () => replayer.replays.get(job.id).cleaned)
    expect(replayer.versions.get('orders')).toMatchObject({ live: 2, epoch: 1 })
  })

  test('the next replay runs against the new live version', async () => {
    const first = await start()
    await toReady(first)
    await settle(mesh, replayer.replays.cutOver(first.id))
    const second = await start()
    expect(second.version).toBe(3)
    await toReady(second)
    await settle(mesh, replayer.replays.cutOver(second.id))
    expect(replayer.versions.get('orders')).toMatchObject({ live: 3, epoch: 2 })
  })
})

describe('a changeover that grows old', () => {
  test('moves on, so that the candidate finds it in the log', async () => {
    const job = await start({ recordsPerSecond: 20 })
    await until(mesh, () => replayer.replays.get(job.id).state === 'RUNNING')
    await produceRaw(mesh.producer, 'orders', { partition: 1, count: 6, timestamp: () => AT + 1000 })
    // Half of the retention of seven days, and a little.
    mesh.clock.advance(3.6 * 86_400_000)
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect(replayer.replays.get(job.id).changeover).toEqual([COUNT, COUNT + 6])
    expect(findVersion(replayer.versions.get('orders')!, 2)!.replay).toMatchObject({
      ends: [COUNT, COUNT + 6],
      changeover: [COUNT, COUNT + 6],
    })
    expect(emitted(job, 1)).toEqual(span(0, COUNT + 6))
  })
})

describe('a replayer that was away for long', () => {
  test('finds its changeover gone from the log, and moves it to where bronze and log meet', async () => {
    const job = await start({ recordsPerSecond: 20 })
    await until(mesh, async () => (await replayed(job, 0)).length > 0)
    await mesh.stop()
    await produceRaw(mesh.producer, 'orders', { partition: 0, count: 10, timestamp: () => AT + 1000 })
    await writeBronze(mesh, 'orders', { partition: 0, to: COUNT + 10 })
    mesh.kafka.trim('raw.orders.v1', 0, COUNT + 8)
    mesh.clock.advance(7 * 86_400_000)
    replayer = await mesh.start()
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect(emitted(job, 0)).toEqual(span(0, COUNT + 10))
    expect(replayer.replays.get(job.id).changeover).toEqual([COUNT + 10, COUNT])
    expect(mesh.failures).toEqual([])
  })
})

describe('mesh.replays', () => {
  test('holds the job at each transition, and a replayer that starts later shows it', async () => {
    const job = await start()
    await toReady(job)
    const states = mesh.kafka
      .log('mesh.replays', 0)
      .map((record) => (JSON.parse(bytesText(record.value!)) as ReplayJob).state)
    expect([...new Set(states)]).toEqual(['PLANNED', 'PREPARED', 'RUNNING', 'DRAINED', 'READY'])
    expect(mesh.kafka.log('mesh.replays', 0).every((record) => bytesText(record.key!) === job.id)).toBe(true)
    replayer = await mesh.start()
    expect(replayer.replays.list()).toMatchObject([{ id: job.id, state: 'READY' }])
    // Readiness is looked at anew after a restart.
    expect((await settle(mesh, replayer.replays.cutOver(job.id))).state).toBe('CUTOVER')
  })

  test('progress tells positions, rate and what is left', async () => {
    const job = await start({ recordsPerSecond: 4, source: 'log' })
    await until(mesh, async () => (await replayed(job, 0)).length > 0)
    expect(headerText(mesh.kafka.log(job.replayTopic, 0)[0]!.headers, 'mesh-replay')).toBe(job.id)
    const { progress } = replayer.replays.get(job.id)
    expect(progress.partitions[0]).toEqual({ partition: 0, position: 4, emitted: 4, total: COUNT })
    await until(mesh, () => replayer.replays.get(job.id).progress.partitions[0]!.emitted === 20)
    const later = replayer.replays.get(job.id).progress
    expect(later.recordsPerSecond).toBeGreaterThanOrEqual(3)
    expect(later.recordsPerSecond).toBeLessThanOrEqual(5)
    expect(later.etaSeconds).toBeGreaterThan(10)
  })
})
