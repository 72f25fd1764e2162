import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { KafkaRecord } from '@mesh/shared/core/record'
import type { BindResponse, PlanResponse, ReplayJob, ReplaysResponse } from '@mesh/shared/core/replay-api'
import { enricherGroup, rawTopic } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { openObjectStore } from '@mesh/shared/lake/open-object-store'
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest'
import { catchUpSinks, commit, exactSources, runLive } from '../support/candidate.ts'
import { produceRaw, writeBronze } from '../support/raw-history.ts'
import { type ReplayerProcess, startReplayerProcess } from '../support/replayer-process.ts'
import { MINIMAL, putStream } from '../support/streams.ts'

const STREAM = `replayed-${randomBytes(4).toString('hex')}`
const COUNT = 400
/** Within retention: a broker deletes raw records that are as old as they say. */
const AT = Date.now() - 3_600_000

describe('the replayer as a process, on a real broker, registry and folder', { timeout: 600_000 }, () => {
  let folder: string
  let kafka: KafkaPort
  let producer: Producer
  let store: ObjectStore
  let replayer: ReplayerProcess
  let env: Record<string, string>

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'mesh-lake-'))
    const lakeUrl = pathToFileURL(folder).href
    kafka = connectKafka({ brokers: inject('kafkaBrokers').split(','), clientId: 'replayer-test' })
    producer = await kafka.producer()
    store = openObjectStore({ url: lakeUrl })
    env = {
      MESH_KAFKA_BROKERS: inject('kafkaBrokers'),
      MESH_REGISTRY_URL: inject('registryUrl'),
      MESH_LAKE_URL: lakeUrl,
      MESH_REPLAYER_READINESS_INTERVAL: '100ms',
      MESH_REPLAYER_CUTOVER_WAIT: '2s',
      MESH_REPLAYER_TOPIC_LINGER: '100ms',
    }
    replayer = await startReplayerProcess(env)
  })
  afterAll(async () => {
    await replayer?.stop()
    await producer.close()
    await kafka.close()
    await rm(folder, { recursive: true, force: true, maxRetries: 10 })
  })

  const untilJob = (id: string, done: (job: ReplayJob) => boolean): Promise<ReplayJob> =>
    vi.waitFor(
      async () => {
        const { body } = await replayer.call<ReplayJob>('GET', `/v1/replays/${id}`)
        if (!done(body)) throw new Error(`replay is ${body.state}: ${JSON.stringify(body.error)}`)
        return body
      },
      { timeout: 120_000, interval: 50 },
    )

  async function read(topic: string): Promise<KafkaRecord[][]> {
    const offsets = await kafka.admin.offsets(topic)
    const records: KafkaRecord[][] = offsets.map(() => [])
    const ranges = offsets.map(({ partition, logStartOffset, highWatermark }) => ({
      partition,
      from: logStartOffset,
      to: highWatermark,
    }))
    await kafka.readRanges(topic, ranges, (batch) => void records[batch.partition]!.push(...batch.records))
    return records
  }

  test('a stream is planned, applied and shown', async () => {
    const { hash } = await putStream(store, { name: STREAM })
    const plan = await replayer.call<PlanResponse>('POST', `/v1/streams/${STREAM}/plan`, { bundle: hash })
    expect(plan).toMatchObject({ status: 200, body: { action: 'create', problems: [] } })
    const bound = await replayer.call<BindResponse>('POST', `/v1/streams/${STREAM}/bundle`, { bundle: hash })
    expect(bound).toMatchObject({ status: 200, body: { changed: true, version: 1, epoch: 0 } })
    const again = await replayer.call<BindResponse>('POST', `/v1/streams/${STREAM}/bundle`, { bundle: hash })
    expect(again).toMatchObject({ status: 200, body: { changed: false } })
    const shown = await replayer.call<StreamVersions>('GET', `/v1/streams/${STREAM}`)
    expect(shown.body).toEqual(bound.body.versions)
    expect(await replayer.call('GET', '/v1/streams/nothing')).toMatchObject({
      status: 404,
      body: { code: 'MESH_STREAM_UNKNOWN' },
    })
  })

  test('an incompatible schema is refused with its reason, a compatible one is bound', async () => {
    const fields = [{ name: 'n', type: 'string' }]
    const bad = await putStream(store, { name: STREAM, fields })
    const plan = await replayer.call<PlanResponse>('POST', `/v1/streams/${STREAM}/plan`, { bundle: bad.hash })
    expect(plan.body).toMatchObject({ action: 'refused', schema: { compatible: false } })
    expect(plan.body.schema.reasons.join()).toContain('n')
    expect(await replayer.call('POST', `/v1/streams/${STREAM}/bundle`, { bundle: bad.hash })).toMatchObject({
      status: 409,
      body: { code: 'MESH_SCHEMA_INCOMPATIBLE' },
    })
    const good = await putStream(store, { name: STREAM, yaml: `${MINIMAL}description: with a text\n` })
    expect(await replayer.call('POST', `/v1/streams/${STREAM}/bundle`, { bundle: good.hash })).toMatchObject({
      status: 200,
      body: { changed: true },
    })
  })

  test('history in lake and log is replayed over a kill, and the candidate is cut over', async () => {
    for (const partition of [0, 1]) {
      await produceRaw(producer, STREAM, { partition, count: COUNT, timestamp: (i) => AT + i * 1000 })
      await writeBronze({ kafka, store }, STREAM, { partition, to: 250, perObject: 20 })
    }
    await runLive(kafka, STREAM)
    const request = { stream: STREAM, recordsPerSecond: 400 }
    const started = await replayer.call<ReplayJob>('POST', '/v1/replays', request)
    expect(started.status).toBe(202)
    const { id } = started.body
    expect(started.body.plan.partitions).toEqual(
      [0, 1].map((partition) => ({ partition, from: 0, to: COUNT, lakeTo: 250, holes: 0 })),
    )
    expect(await replayer.call('POST', '/v1/replays', request)).toMatchObject({
      status: 409,
      body: { code: 'MESH_REPLAY_BUSY' },
    })

    await untilJob(id, (job) => job.progress.partitions.some((partition) => partition.emitted > 0))
    await replayer.stop('SIGKILL')
    replayer = await startReplayerProcess(env)
    const drained = await untilJob(id, (job) => job.state === 'DRAINED')

    const { rawTopicId } = (await replayer.call<StreamVersions>('GET', `/v1/streams/${STREAM}`)).body
    const source = await read(rawTopic(STREAM))
    const copies = await read(drained.replayTopic)
    for (const partition of [0, 1]) {
      expect(exactSources(copies[partition]!, rawTopicId, partition)).toEqual(source[partition]!.map((r) => r.offset))
      const first = copies[partition]![4]!
      const { key, value, timestamp } = source[partition]![4]!
      expect(first).toMatchObject({ key, value, timestamp })
    }

    expect(await replayer.call('POST', `/v1/replays/${id}/cutover`)).toMatchObject({
      status: 409,
      body: { code: 'MESH_REPLAY_NOT_READY' },
    })
    const ends = copies.map((records) => records.length)
    await commit(kafka, enricherGroup(STREAM, 2), drained.replayTopic, ends)
    await commit(kafka, enricherGroup(STREAM, 2), rawTopic(STREAM), [COUNT, COUNT])
    await catchUpSinks(kafka, drained)
    await untilJob(id, (job) => job.state === 'READY')
    expect(await replayer.call('POST', `/v1/replays/${id}/cutover`)).toMatchObject({
      status: 200,
      body: { state: 'CUTOVER' },
    })
    expect((await replayer.call('GET', `/v1/streams/${STREAM}`)).body).toMatchObject({ live: 2, epoch: 1 })
    await untilJob(id, (job) => job.cleaned)
    // The broker says that a topic is deleted before it has stopped listing it.
    await expect.poll(() => kafka.admin.listTopics()).not.toContain(drained.replayTopic)
  })

  test('a cancelled replay goes with its topics', async () => {
    const started = await replayer.call<ReplayJob>('POST', '/v1/replays', { stream: STREAM, recordsPerSecond: 10 })
    expect(started.body).toMatchObject({ version: 3 })
    await untilJob(started.body.id, (job) => job.state === 'RUNNING')
    const cancelled = await replayer.call<ReplayJob>('POST', `/v1/replays/${started.body.id}/cancel`)
    expect(cancelled).toMatchObject({ status: 200, body: { state: 'CANCELLED' } })
    await untilJob(started.body.id, (job) => job.cleaned)
    const ofVersion = async (): Promise<string[]> =>
      (await kafka.admin.listTopics()).filter((topic) => topic.includes(STREAM) && /replay\.|\.v3$/.test(topic))
    await expect.poll(ofVersion).toEqual([])
    const { body } = await replayer.call<ReplaysResponse>('GET', '/v1/replays')
    expect(body.replays.filter((job) => job.stream === STREAM).map((job) => job.state)).toEqual([
      'CUTOVER',
      'CANCELLED',
    ])
  })

  test.each([
    [{}, 'stream is missing'],
    [{ stream: STREAM, form: {} }, 'form is not a field'],
    [{ stream: STREAM, source: 'tape' }, 'source is one of'],
    [{ stream: STREAM, from: { '0': -1 } }, 'partition 0 is not an offset'],
  ])('a wrong request %j is told', async (body, text) => {
    expect(await replayer.call('POST', '/v1/replays', body)).toMatchObject({
      status: 422,
      body: { code: 'MESH_REPLAY_INVALID', message: expect.stringContaining(text) as string },
    })
  })
})
