import type { CommitEvent } from '@mesh/shared/core/books'
import { MeshError } from '@mesh/shared/core/errors'
import type { JobsResponse, Run, RunsResponse } from '@mesh/shared/core/runs'
import { COMMITS_TOPIC, JOB_TRIGGER_GROUP } from '@mesh/shared/core/topics'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { AssignedPartition, Assignment, GroupConsumer, KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { followVersions, type VersionsView } from '@mesh/shared/kafka/versions'
import type { Readiness } from '@mesh/shared/runtime/http-server'
import type { Service } from '@mesh/shared/runtime/service'
import type { JobFile } from '@mesh/shared/schema/jobs-folder'
import { createRunStore } from './adapters/run-store.ts'
import { createCommitsPartition } from './commits-partition.ts'
import type { Clock, Engines } from './core/ports.ts'
import { createRunTable } from './core/run-table.ts'
import { streamStates } from './core/streaming.ts'
import { execution } from './drive-run.ts'
import { createJobs, type Jobs, viewOf } from './job-host.ts'
import type { JobLoop } from './job-loop.ts'
import type { TriggerTelemetry } from './telemetry.ts'

export type JobTriggerDeps = {
  readonly kafka: KafkaPort
  readonly producer: Producer
  readonly engines: Engines
  readonly readFiles: () => Promise<readonly JobFile[]>
  readonly clock: Clock
  /** Monotonic, ms. */
  readonly now: () => number
  readonly jitter: () => number
  readonly telemetry: TriggerTelemetry
  readonly fatal: (error: unknown) => void
  readonly settings: {
    readonly checkpointInterval: number
    readonly rescanInterval: number
    readonly keepRuns: number
    readonly tickMs?: number
  }
}

export type JobTrigger = Service & {
  list(): JobsResponse
  runs(job: string | null): RunsResponse
  run(id: string): Run
  start(): Promise<void>
  request(job: string, full: boolean): Promise<Run>
  retry(id: string): Promise<Run>
  /** Of a job that streams: ends it with a savepoint, and goes on from one. */
  stopStream(job: string): Promise<Run>
  resumeStream(job: string, from: string | null): Promise<Run>
  logs(id: string): Promise<string>
  readiness(): Readiness
}

/** Plans and drives the runs of jobs while its group gives it `mesh.commits`; otherwise it stands by. */
export function createJobTrigger(deps: JobTriggerDeps): JobTrigger {
  const { kafka, telemetry, settings } = deps
  const stopping = new AbortController()
  let files: readonly JobFile[] = []
  let versions: VersionsView | null = null
  let jobs: Jobs | null = null
  let scanning: Promise<void> = Promise.resolve()
  let consumer: GroupConsumer | null = null
  let started = false

  async function assign(assigned: AssignedPartition): Promise<Assignment> {
    const store = createRunStore(kafka, deps.producer)
    const loaded = await store.load()
    const table = createRunTable(loaded.runs, loaded.positions)
    const own = createJobs({
      table,
      store,
      engines: deps.engines,
      versions: () => versions?.current() ?? new Map(),
      files: () => files,
      clock: deps.clock,
      jitter: deps.jitter,
      keepRuns: settings.keepRuns,
      entered: (run) => telemetry.entered(run),
      onFatal: deps.fatal,
    })
    jobs = own
    const host = {
      arrived: (event: CommitEvent) => own.arrived(event),
      caughtUp: () => own.caughtUp(),
      async stop() {
        if (jobs === own) jobs = null
        await own.stop()
      },
    }
    telemetry.took(assigned.committed?.offset ?? 0)
    return createCommitsPartition({
      assigned,
      table,
      store,
      host,
      checkpointMs: settings.checkpointInterval,
      now: deps.now,
      unreadable: (offset) => telemetry.unreadable(offset),
    })
  }

  async function scan(): Promise<void> {
    const found = await deps.readFiles()
    const same =
      found.length === files.length &&
      found.every(
        (file, i) =>
          file.name === files[i]!.name &&
          file.text === files[i]!.text &&
          file.error?.message === files[i]!.error?.message,
      )
    if (same) return
    files = found
    for (const { file, error } of files) if (error) telemetry.badFile(file, error)
    await jobs?.reconcile()
  }

  async function rescan(): Promise<void> {
    while (!stopping.signal.aborted) {
      await deps.clock.wait(settings.rescanInterval, stopping.signal)
      if (!stopping.signal.aborted) await scan().catch((error: unknown) => telemetry.scanFailed(error))
    }
  }

  function active(): Jobs {
    if (jobs === null) throw new MeshError('MESH_JOB_STANDBY', 'this job-trigger stands by')
    return jobs
  }

  function known(id: string): Run {
    const run = active().table.get(id)
    if (run === null) throw new MeshError('MESH_JOB_UNKNOWN', `there is no run ${id}`)
    return run
  }

  function loopOf(job: string): JobLoop {
    const loop = active().loopOf(job)
    if (loop === null) throw new MeshError('MESH_JOB_UNKNOWN', `there is no job ${job}`)
    return loop
  }

  return {
    async start() {
      await kafka.admin.ensureTopics(meshTopics())
      await scan()
      versions = await followVersions(kafka, () => void jobs?.reconcile(), deps.fatal)
      scanning = rescan()
      consumer = kafka.consumer({
        groupId: JOB_TRIGGER_GROUP,
        topics: [COMMITS_TOPIC],
        assign,
        tickMs: settings.tickMs ?? 100,
        onFatal: deps.fatal,
      })
      await consumer.start()
      started = true
    },
    async stop() {
      stopping.abort()
      await scanning
      await consumer?.stop()
      await versions?.stop()
      await Promise.all(Object.values(deps.engines).map((engine) => engine.close()))
    },
    list: () => ({ jobs: jobs?.views() ?? files.map((file) => viewOf(file, null)) }),
    runs: (job) => ({ runs: job === null ? active().table.all() : active().table.of(job).toReversed() }),
    run: known,
    request: async (job, full) => loopOf(job).request(full),
    async retry(id) {
      const run = known(id)
      return loopOf(run.job).retry(run)
    },
    stopStream: async (job) => loopOf(job).stopStream(),
    resumeStream: async (job, from) => loopOf(job).resumeStream(from),
    async logs(id) {
      const run = known(id)
      const file = files.find(({ name }) => name === run.job)
      const engine = deps.engines[run.engine as keyof Engines]
      if (!file?.job || !engine || run.attempt === 0) return ''
      return (await engine.logs(execution(file.job, run))) ?? ''
    },
    readiness() {
      const broken = Object.fromEntries(files.flatMap(({ file, error }) => (error ? [[file, error.message]] : [])))
      const dead = jobs?.views().flatMap((view) => view.dead) ?? []
      const streaming = jobs === null ? [] : streamStates(jobs.table.all(), (job) => jobs?.loopOf(job) != null)
      return {
        ready: started,
        detail: { active: jobs !== null, jobs: files.length, broken, dead: dead.slice(0, 20), streaming },
      }
    },
  }
}
