import { setImmediate as turn } from 'node:timers/promises'
import { type CommitEvent, commitKey } from '@mesh/shared/core/books'
import { bytesText, textBytes } from '@mesh/shared/core/record'
import type { Run } from '@mesh/shared/core/runs'
import { COMMITS_TOPIC, RUNS_TOPIC, VERSIONS_TOPIC } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { meshTopics } from '@mesh/shared/kafka/mesh-topics'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { JobDefinition } from '@mesh/shared/schema/job-file'
import { type CrashGate, createCrashGate, gated } from '@mesh/shared/testing/crash-gate'
import { createManualClock, type ManualClock } from '@mesh/shared/testing/manual-clock'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import type { JobEngine } from '../../src/core/ports.ts'
import { createJobTrigger, type JobTrigger } from '../../src/service.ts'
import { createFakeEngine, type FakeEngine } from './fake-engine.ts'
import { fileOf } from './jobs.ts'

export type World = {
  readonly kafka: MemoryKafka
  readonly clock: ManualClock
  readonly engine: FakeEngine
  readonly fatals: string[]
  jobs: JobDefinition[]
  commits(...events: CommitEvent[]): Promise<void>
  versions(...states: StreamVersions[]): Promise<void>
  start(gate?: CrashGate): Promise<JobTrigger>
  /** As a kill would: nothing of it gets through any more. */
  kill(trigger: JobTrigger): Promise<void>
  until(condition: () => boolean, stepMs?: number): Promise<void>
  /** Lets everything happen that happens in so much time. */
  pass(ms: number): Promise<void>
  /** Newest record of every run in mesh.runs, in the order of planning. */
  runs(): Run[]
  /** Every record of runs that was ever written, in order. */
  history(): Run[]
}

export async function createWorld(jobs: JobDefinition[]): Promise<World> {
  const clock = createManualClock()
  const kafka = createMemoryKafka({ now: () => clock.now() })
  await kafka.admin.ensureTopics(meshTopics())
  const producer: Producer = await kafka.producer()
  const engine = createFakeEngine()
  const put = (topic: string, key: string, value: unknown): Promise<unknown> =>
    producer.send(topic, [{ partition: 0, key: textBytes(key), value: textBytes(JSON.stringify(value)), headers: [] }])

  const world: World = {
    kafka,
    clock,
    engine,
    fatals: [],
    jobs,
    async commits(...events) {
      for (const event of events) await put(COMMITS_TOPIC, commitKey(event), event)
    },
    async versions(...states) {
      for (const state of states) await put(VERSIONS_TOPIC, state.stream, state)
    },
    async start(gate = createCrashGate()) {
      const port = gated<KafkaPort>(kafka, gate)
      const own = gated<JobEngine>(engine, gate)
      const trigger = createJobTrigger({
        // A consumer's own calls are the loop's; its handlers pass the gate by what they call.
        kafka: { ...port, consumer: (options) => kafka.consumer(options), follow: (...args) => kafka.follow(...args) },
        producer: gated(await kafka.producer(), gate),
        engines: { http: own, dbt: own },
        readFiles: async () => world.jobs.map(fileOf),
        clock,
        now: () => clock.now(),
        jitter: () => 0,
        telemetry: { took() {}, entered() {}, unreadable() {}, badFile() {}, scanFailed() {} },
        fatal: (error) => world.fatals.push(String(error)),
        settings: { checkpointInterval: 200, rescanInterval: 1000, keepRuns: 50, tickMs: 1 },
      })
      await trigger.start()
      return trigger
    },
    async kill(trigger) {
      // A crashed one cannot stop in order; its group membership ends with its stop all the same.
      let stopped = false
      void trigger
        .stop()
        .catch(() => {})
        .finally(() => {
          stopped = true
        })
      await world.until(() => stopped)
    },
    async until(condition, stepMs = 20) {
      for (let turns = 0; turns < 20_000; turns++) {
        if (condition()) return
        await turn()
        clock.advance(stepMs)
      }
      throw new Error(
        `still not: ${condition.toString()}; ${JSON.stringify(world.runs().map((r) => [r.id, r.state, r.error]))}`,
      )
    },
    async pass(ms) {
      for (let left = ms; left > 0; left -= 20) {
        clock.advance(20)
        for (let i = 0; i < 5; i++) await turn()
      }
    },
    runs() {
      const latest = new Map(world.history().map((run) => [run.id, run]))
      return [...latest.values()].sort((a, b) => a.seq - b.seq)
    },
    history: () =>
      kafka.log(RUNS_TOPIC, 0).flatMap(({ value }) => {
        if (value === null) return []
        const record = JSON.parse(bytesText(value)) as Run
        return record.kind === 'run' ? [record] : []
      }),
  }
  return world
}
