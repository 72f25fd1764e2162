import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { REPLAYS_TOPIC, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import type { Readiness } from '@mesh/shared/runtime/http-server'
import type { Service } from '@mesh/shared/runtime/service'
import { getBundle } from '@mesh/shared/schema/bundle'
import type { SchemaRegistry } from '@mesh/shared/schema/port'
import { createBronzeSource } from './adapters/bronze-source.ts'
import { createGroupPositions, createRemoval } from './adapters/groups.ts'
import { createJobsWriter } from './adapters/jobs-writer.ts'
import { createLogSource } from './adapters/log-source.ts'
import { createReplayTopic } from './adapters/replay-topic.ts'
import { createStateTopic } from './adapters/state-topic.ts'
import { createTopicProvisioner } from './adapters/topic-provisioner.ts'
import { createVersionsWriter } from './adapters/versions-writer.ts'
import { type Binder, createBinder } from './core/bind.ts'
import type { Bundles, Clock, VersionsStore } from './core/ports.ts'
import { createReplayRunner } from './core/replay-runner.ts'
import { createReplays, type Replays } from './core/replays.ts'
import type { ReplayerTelemetry } from './telemetry.ts'

export type ReplayerDeps = {
  readonly kafka: KafkaPort
  readonly store: ObjectStore
  readonly registry: SchemaRegistry
  readonly clock: Clock
  readonly random: () => number
  readonly newId: () => string
  readonly telemetry: ReplayerTelemetry
  readonly fatal: (error: unknown) => void
  readonly settings: {
    readonly lakeReads: number
    readonly readinessInterval: number
    readonly readyAge: number
    readonly cutoverWait: number
    readonly topicLinger: number
  }
}

export type Replayer = Service & {
  readonly versions: VersionsStore
  readonly binder: Binder
  readonly replays: Replays
  readiness(): Readiness
}

/** Keeper of `mesh.versions`: applies streams, replays history into candidate versions, cuts over. */
export function createReplayer(deps: ReplayerDeps): Replayer {
  const { kafka, store, registry, clock, settings, telemetry } = deps
  let producer: Producer | null = null
  let ready = false
  const stop = new AbortController()
  const runs = new Map<string, Promise<void>>()

  const connected = (): Producer => {
    if (!producer) throw new Error('the replayer writes before it has started')
    return producer
  }
  const versionsTopic = createStateTopic<StreamVersions>(kafka, VERSIONS_TOPIC, connected)
  const jobsTopic = createStateTopic<ReplayJob>(kafka, REPLAYS_TOPIC, connected)
  const versions = createVersionsWriter(versionsTopic)
  const jobs = createJobsWriter(jobsTopic)
  const bundles: Bundles = { load: (hash) => getBundle(store, hash) }
  const topics = createTopicProvisioner(kafka.admin, clock)
  const groups = createGroupPositions(kafka.admin)
  const history = { ...createBronzeSource(store), ...createLogSource(kafka) }
  const shared = { jobs, versions, bundles, registry, topics, groups, history, clock }
  const runner = createReplayRunner(
    {
      ...shared,
      removal: createRemoval(kafka.admin),
      replayTopic: createReplayTopic(kafka, connected),
      lakeReads: settings.lakeReads,
      random: deps.random,
      events: telemetry,
    },
    { readinessIntervalMs: settings.readinessInterval, topicLingerMs: settings.topicLinger },
  )
  const binder = createBinder(shared)
  const replays = createReplays(
    { ...shared, runner, newId: deps.newId, launch, events: telemetry },
    { cutoverWaitMs: settings.cutoverWait, readyAgeMs: settings.readyAge },
  )

  function launch(id: string): void {
    if (stop.signal.aborted) return
    // Failures of a job are retried inside; what comes out here is a defect.
    const run = runner.run(id, stop.signal).catch(deps.fatal)
    runs.set(id, run)
    void run.then(() => runs.delete(id))
  }

  return {
    versions,
    binder: {
      ...binder,
      async bind(stream, hash) {
        const answer = await binder.bind(stream, hash)
        telemetry.bound(answer)
        return answer
      },
    },
    replays,
    readiness: () => ({ ready, detail: { streams: versions.all().length, jobs: runs.size } }),
    async start() {
      await topics.ensure(meshTopics())
      producer = await kafka.producer()
      await versionsTopic.load()
      await jobsTopic.load()
      ready = true
      for (const job of jobs.all()) if (!job.cleaned) launch(job.id)
    },
    async stop() {
      ready = false
      stop.abort()
      await Promise.all(runs.values())
      await producer?.close()
    },
  }
}
