import { bytesText } from '@mesh/shared/core/record'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { findVersion } from '@mesh/shared/core/versions'
import { type CrashGate, createCrashGate } from '@mesh/shared/testing/crash-gate'
import { expect, test } from 'vitest'
import type { Replayer } from '../../src/service.ts'
import { exactSources, runCandidate, runLive } from '../support/candidate.ts'
import { produceRaw, writeBronze } from '../support/raw-history.ts'
import { putStream } from '../support/streams.ts'
import { createTestMesh, settle, type TestMesh, until } from '../support/test-mesh.ts'

const AT = Date.parse('2026-02-28T23:00:00Z')
const COUNT = 12
const span = Array.from({ length: COUNT }, (_, i) => i)

/** The last one for a replay that was too fast to be cancelled while it emitted. */
const CANCEL_IN: readonly ReplayJob['state'][] = ['RUNNING', 'DRAINED']

/** A stream with history in lake and log, and nothing of a replay yet. */
async function prepared(): Promise<{ mesh: TestMesh; rawTopicId: string }> {
  const mesh = await createTestMesh()
  const replayer = await mesh.start()
  const { hash } = await putStream(mesh.store, { name: 'orders' })
  const { rawTopicId } = (await replayer.binder.bind('orders', hash)).versions
  for (const partition of [0, 1]) {
    await produceRaw(mesh.producer, 'orders', { partition, count: COUNT, timestamp: (i) => AT + i })
    await writeBronze(mesh, 'orders', { partition, to: 8, perObject: 4 })
  }
  await runLive(mesh.kafka, 'orders')
  return { mesh, rawTopicId }
}

/** Works towards `goal` like an operator: calls again after a failure, and starts the replayer again when it has crashed. */
async function driveTo(goal: 'CUTOVER' | 'CANCELLED', mesh: TestMesh, gate: CrashGate): Promise<ReplayJob> {
  let replayer: Replayer | null = await mesh.start(gate).catch(() => null)
  let candidateDone = false
  for (let turns = 0; turns < 1000; turns++) {
    if (replayer === null || gate.crashed) {
      // A crash happens once; what starts again runs to the end.
      replayer = await mesh.start()
      gate = createCrashGate()
    }
    const current: Replayer = replayer
    const job: ReplayJob | undefined = current.replays.list()[0]
    const call = async (): Promise<unknown> => {
      if (!job) return current.replays.start({ stream: 'orders', recordsPerSecond: goal === 'CUTOVER' ? 200 : 20 })
      if (job.cleaned) return null
      if (goal === 'CANCELLED') return CANCEL_IN.includes(job.state) ? current.replays.cancel(job.id) : null
      if (job.state === 'DRAINED' && !candidateDone) {
        await runCandidate(mesh.kafka, mesh.producer, current, job)
        candidateDone = true
      }
      return job.state === 'READY' ? current.replays.cutOver(job.id) : null
    }
    await settle(mesh, call()).catch(() => null)
    if (job?.cleaned) return job
    let looks = 0
    await until(mesh, () => gate.crashed || ++looks > 3)
  }
  throw new Error('the replay never ended')
}

const versionsOf = (mesh: TestMesh): StreamVersions[] =>
  mesh.kafka.log('mesh.versions', 0).map((record) => JSON.parse(bytesText(record.value!)) as StreamVersions)

/** The replay topic as it was before it was deleted: taken at every look, since the job ends with its deletion. */
function keepReplayTopic(mesh: TestMesh): () => readonly (readonly number[])[] {
  let last: { topic: string; copies: ReturnType<TestMesh['kafka']['log']>[] } | null = null
  const deleteTopics = mesh.kafka.admin.deleteTopics.bind(mesh.kafka.admin)
  mesh.kafka.admin.deleteTopics = async (topics) => {
    const topic = topics.find((name) => name.startsWith('replay.'))
    if (topic) last = { topic, copies: [0, 1].map((partition) => mesh.kafka.log(topic, partition)) }
    return deleteTopics(topics)
  }
  return () => {
    const { rawTopicId } = versionsOf(mesh)[0]!
    return last!.copies.map((records, partition) => exactSources(records, rawTopicId, partition))
  }
}

test('a crash at any point of a replay: everything is emitted in order, and the version is cut over once', async () => {
  for (let at = 1; ; at++) {
    const { mesh } = await prepared()
    const copies = keepReplayTopic(mesh)
    const gate = createCrashGate(at)
    const job = await driveTo('CUTOVER', mesh, gate)
    const point = `crash at passage ${at}`
    expect(copies(), point).toEqual([span, span])
    expect(job, point).toMatchObject({ state: 'CUTOVER', version: 2 })
    const history = versionsOf(mesh)
    expect(history.at(-1), point).toMatchObject({ live: 2, epoch: 1 })
    expect(new Set(history.map((state) => state.epoch)), point).toEqual(new Set([0, 1]))
    const finished = history.filter((state) => findVersion(state, 2)?.replay?.ends)
    expect(new Set(finished.map((state) => JSON.stringify(findVersion(state, 2)!.replay))).size, point).toBe(1)
    await mesh.stop()
    expect(
      mesh.failures.filter((failure) => failure.startsWith('fatal')),
      point,
    ).toEqual([])
    if (!gate.crashed) {
      expect(at).toBeGreaterThan(100)
      return
    }
  }
}, 600_000)

test('a crash at any point of a cancelled replay: the candidate and its topics are gone', async () => {
  for (let at = 1; ; at++) {
    const { mesh } = await prepared()
    const gate = createCrashGate(at)
    const job = await driveTo('CANCELLED', mesh, gate)
    const point = `crash at passage ${at}`
    expect(job.state, point).toBe('CANCELLED')
    expect(versionsOf(mesh).at(-1), point).toMatchObject({ live: 1, epoch: 0, versions: [{ version: 1 }] })
    const topics = await mesh.kafka.admin.listTopics()
    expect(
      topics.filter((topic) => topic.startsWith('replay.') || topic.endsWith('.v2')),
      point,
    ).toEqual([])
    await mesh.stop()
    if (!gate.crashed) {
      expect(at).toBeGreaterThan(50)
      return
    }
  }
}, 600_000)
