import { textBytes } from '@mesh/shared/core/record'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { enricherGroup, rawTopic } from '@mesh/shared/core/topics'
import type { TransactionalProducer } from '@mesh/shared/kafka/port'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Replayer } from '../../src/service.ts'
import { catchUpSinks, commit, exactSources, runCandidate, runLive } from '../support/candidate.ts'
import { produceRaw } from '../support/raw-history.ts'
import { putStream } from '../support/streams.ts'
import { createTestMesh, settle, type TestMesh, until, untilState } from '../support/test-mesh.ts'

const AT = Date.parse('2026-03-01T00:00:00Z')
const RAW = rawTopic('orders')
let mesh: TestMesh
let replayer: Replayer
let rawTopicId: string
beforeEach(async () => {
  mesh = await createTestMesh()
  replayer = await mesh.start()
  const { hash } = await putStream(mesh.store, { name: 'orders' })
  rawTopicId = (await replayer.binder.bind('orders', hash)).versions.rawTopicId
})
afterEach(() => mesh.stop())

const start = (): Promise<ReplayJob> => replayer.replays.start({ stream: 'orders', source: 'log' })
const rawEnds = async (): Promise<number[]> => (await mesh.kafka.admin.offsets(RAW)).map((p) => p.lastStableOffset)

/** The books of an enricher that has `records` parked, the lowest at `rawFrom`. */
const parkedBooks = (records: number, rawFrom: number | null): string =>
  JSON.stringify({ v: 1, counts: { parked: 5 }, parked: { ok: 5 - records, drop: 0, deadLetter: 0, rawFrom } })

async function standAt(version: number, metadata: string): Promise<void> {
  await commit(mesh.kafka, enricherGroup('orders', version), RAW, await rawEnds(), metadata)
}

describe('parked records', () => {
  beforeEach(async () => {
    for (const partition of [0, 1])
      await produceRaw(mesh.producer, 'orders', { partition, count: 9, timestamp: () => AT })
    await runLive(mesh.kafka, 'orders')
  })

  test.each([
    ['the candidate', 2],
    ['the live version', 1],
  ])('that wait in %s keep the candidate from being ready', async (_, version) => {
    const job = await start()
    await untilState(mesh, replayer, job.id, 'DRAINED')
    await standAt(version, parkedBooks(2, 4))
    await runCandidate(mesh.kafka, mesh.producer, replayer, job)
    if (version === 2) await standAt(2, parkedBooks(2, 4))
    await until(
      mesh,
      () => replayer.replays.get(job.id).progress.candidateLag?.every((of) => of.enricher === 0) === true,
    )
    const later = mesh.clock.now() + 3000
    await until(mesh, () => mesh.clock.now() >= later)
    expect(replayer.replays.get(job.id).state).toBe('DRAINED')
    await standAt(version, parkedBooks(0, null))
    await untilState(mesh, replayer, job.id, 'READY')
  })

  test('refuse a cutover with their number, until what is below where the live version was is released', async () => {
    const job = await start()
    await untilState(mesh, replayer, job.id, 'DRAINED')
    await runCandidate(mesh.kafka, mesh.producer, replayer, job)
    await untilState(mesh, replayer, job.id, 'READY')
    await standAt(2, parkedBooks(3, 8))
    await expect(settle(mesh, replayer.replays.cutOver(job.id))).rejects.toMatchObject({
      code: 'MESH_REPLAY_NOT_READY',
      message: expect.stringContaining('partition 0: enricher 0, silver 0, landing 0 behind, 3 parked') as string,
    })
    // What waits at or beyond the live position is the new version's own matter.
    await standAt(2, parkedBooks(3, 9))
    expect((await settle(mesh, replayer.replays.cutOver(job.id))).state).toBe('CUTOVER')
  })
})

describe('a raw topic that is written in transactions', () => {
  let producer: TransactionalProducer
  beforeEach(async () => {
    producer = await mesh.kafka.transactional({ transactionalId: 'source.orders', topics: [RAW] })
  })

  const write = (partition: number, text: string): Promise<unknown> => {
    const records = [{ partition, key: textBytes('k'), value: textBytes(text), headers: [], timestamp: AT }]
    const decide = async () => 'absent' as const
    return producer.transact({ writes: [{ topic: RAW, records }], offset: null, decide })
  }

  test('is replayed over its markers, and cut over with one at the end of raw and of refined', async () => {
    for (const text of ['1', '2', '3']) for (const partition of [0, 1]) await write(partition, text)
    await runLive(mesh.kafka, 'orders')
    const job = await start()
    await untilState(mesh, replayer, job.id, 'DRAINED')
    expect(exactSources(mesh.kafka.log(job.replayTopic, 0), rawTopicId, 0)).toEqual([0, 2, 4])
    await runCandidate(mesh.kafka, mesh.producer, replayer, job)
    const records = [0, 1].map((partition) => ({ partition, key: null, value: new Uint8Array(1), headers: [] }))
    const decide = async () => 'absent' as const
    await producer.transact({ writes: [{ topic: job.refinedTopic, records }], offset: null, decide })
    await catchUpSinks(mesh.kafka, job)
    await untilState(mesh, replayer, job.id, 'READY')
    expect((await settle(mesh, replayer.replays.cutOver(job.id))).state).toBe('CUTOVER')
  })

  test('a plan ends below a transaction that is open: a reader would wait for its end', async () => {
    await write(0, '1')
    const client = mesh.kafka.client('source')
    const open = await client.transactional({ transactionalId: 'source.open', topics: [RAW] })
    let held = false
    mesh.kafka.fault(({ kind, client: of }) => {
      if (kind !== 'end-transaction' || of !== 'source') return null
      held = true
      return new Promise<null>(() => {})
    })
    const records = [{ partition: 0, key: null, value: textBytes('open'), headers: [], timestamp: AT }]
    const decide = async () => 'absent' as const
    open.transact({ writes: [{ topic: RAW, records }], offset: null, decide }).catch(() => {})
    await until(mesh, () => held)
    const [offsets] = await mesh.kafka.admin.offsets(RAW)
    expect(offsets).toMatchObject({ highWatermark: 3, lastStableOffset: 2 })
    const job = await start()
    expect(job.plan.partitions[0]!.to).toBe(2)
    await untilState(mesh, replayer, job.id, 'DRAINED')
  })
})
