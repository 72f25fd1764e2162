import { MeshError } from '@mesh/shared/core/errors'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { rawTopic } from '@mesh/shared/core/topics'
import { findVersion } from '@mesh/shared/core/versions'
import type { SchemaRegistry } from '@mesh/shared/schema/port'
import { registerSchema, subjectOf, unboundBundle } from './bind.ts'
import { type EmissionOptions, type EmissionPorts, emitHistory } from './emission.ts'
import { extendJob, isActive } from './job-state.ts'
import { agedChangeover } from './plan.ts'
import type { Bundles, Clock, JobsStore, VersionsStore } from './ports.ts'
import { rfc3339 } from './ports.ts'
import { candidateTopics } from './topic-specs.ts'
import { addCandidate, finishReplay, moveChangeover } from './versions-transitions.ts'

export type CandidateBuilderPorts = EmissionPorts & {
  readonly jobs: JobsStore
  readonly versions: VersionsStore
  readonly bundles: Bundles
  readonly registry: SchemaRegistry
  readonly clock: Clock
}

export type CandidateBuilder = {
  /** Topics, schema, then the candidate's record: from then on services know the version. */
  prepare(job: ReplayJob): Promise<void>
  /**
   * Emits what is left of the history. True when all of it is emitted and the record says where it ends; false when the changeover
   * moved on meanwhile, and the call is to be repeated.
   */
  emit(id: string, options: (job: ReplayJob) => EmissionOptions): Promise<boolean>
}

const AGE_CHECK_MS = 60_000

/** Makes a candidate version out of a job. Both steps may be repeated from any point. */
export function createCandidateBuilder(ports: CandidateBuilderPorts): CandidateBuilder {
  const { jobs, versions, topics, clock } = ports
  const now = (): string => rfc3339(clock.now())

  async function prepare(job: ReplayJob): Promise<void> {
    const bundle = await ports.bundles.load(job.plan.bundle)
    await topics.ensure(candidateTopics(bundle.contract, job.version, job.id))
    const schemaId = await registerSchema(ports.registry, subjectOf(job.stream, job.version), bundle.refinedAvsc)
    const topicId = (await topics.ids([job.replayTopic])).get(job.replayTopic)
    if (!topicId) throw new MeshError('MESH_KAFKA_UNAVAILABLE', `${job.replayTopic} is not shown after its creation`)
    await versions.update(job.stream, (state) => {
      // A job that was cancelled meanwhile must not bring its candidate back.
      if (!isActive(jobs.get(job.id)!)) throw new Error(`replay ${job.id} is no longer active`)
      return addCandidate(state!, {
        version: job.version,
        bundle: unboundBundle(bundle, schemaId),
        start: job.plan.partitions.map((partition) => partition.from),
        replay: { job: job.id, topic: job.replayTopic, topicId, ends: null, changeover: job.changeover },
        at: now(),
      })
    })
  }

  async function emit(id: string, optionsOf: (job: ReplayJob) => EmissionOptions): Promise<boolean> {
    // Before anything is read: a replayer that was away for long finds a changeover that the log has lost.
    await keepChangeoverYoung(id)
    const job = jobs.get(id)!
    const replay = replayOf(job)
    if (replay.ends !== null) return true
    await checkReplayTopic(job, replay.topicId)
    await emitHistory(job, ports, checkingAge(id, optionsOf(job)))
    await keepChangeoverYoung(id)
    const { changeover } = jobs.get(id)!
    if (changeover.some((offset, p) => offset !== job.changeover[p])) return false
    const ends = (await topics.offsets(job.replayTopic)).map((partition) => partition.lastStableOffset)
    await versions.update(job.stream, (state) => {
      const moved = moveChangeover(state!, job.version, { changeover, at: now() })
      return finishReplay(moved, job.version, { ends, at: now() })
    })
    return true
  }

  /** A long run outlives the age that its changeover had at its beginning. */
  function checkingAge(id: string, options: EmissionOptions): EmissionOptions {
    let checkedAt = clock.now()
    return {
      ...options,
      async onChunk(state) {
        await options.onChunk(state)
        if (clock.now() - checkedAt < AGE_CHECK_MS) return
        checkedAt = clock.now()
        await keepChangeoverYoung(id)
      },
    }
  }

  /** While the replay is not finished its changeover may move: to the log's end, once it is half as old as the log gets. */
  async function keepChangeoverYoung(id: string): Promise<void> {
    const job = jobs.get(id)!
    const topic = rawTopic(job.stream)
    const { retentionMs } = (await ports.bundles.load(job.plan.bundle)).contract.raw
    if (replayOf(job).ends !== null || retentionMs <= 0) return
    const young = await ports.history.logOffsetsAtTime(topic, clock.now() - retentionMs / 2)
    const stable = (await topics.offsets(topic)).map((partition) => partition.lastStableOffset)
    const youngFrom = stable.map((end, p) => young.get(p) ?? end)
    const moved = agedChangeover(job.changeover, youngFrom, stable)
    if (moved === null) return
    await jobs.update(id, (current) => extendJob(current, moved, now()))
    await versions.update(job.stream, (state) => moveChangeover(state!, job.version, { changeover: moved, at: now() }))
  }

  function replayOf({ stream, version }: ReplayJob) {
    const replay = findVersion(versions.get(stream)!, version)?.replay
    if (!replay) throw new Error(`stream ${stream} has no candidate ${version}`)
    return replay
  }

  async function checkReplayTopic({ replayTopic }: ReplayJob, topicId: string): Promise<void> {
    if ((await topics.ids([replayTopic])).get(replayTopic) === topicId) return
    throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', `${replayTopic} is not the topic that the job made`, {
      place: replayTopic,
    })
  }

  return { prepare, emit }
}
