import { setImmediate as turn } from 'node:timers/promises'
import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { headerText, type KafkaRecord } from '@mesh/shared/core/record'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { enricherGroup, HEADER, landingGroup, rawTopic, silverGroup } from '@mesh/shared/core/topics'
import { findVersion } from '@mesh/shared/core/versions'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { SchemaRegistry } from '@mesh/shared/schema/port'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { createMemoryObjectStore, type MemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { createReplayer, type Replayer, type ReplayerDeps } from '../../src/service.ts'
import { type CrashGate, createCrashGate, gated } from './crash-gate.ts'
import { createManualClock, type ManualClock } from './manual-clock.ts'

export type TestMesh = {
  readonly kafka: MemoryKafka
  readonly store: MemoryObjectStore
  readonly clock: ManualClock
  readonly registry: TestRegistry
  readonly producer: Producer
  readonly entered: string[]
  readonly failures: string[]
  /** Starts a replayer over what is there; the one before is stopped first. Its port calls pass the gate. */
  start(gate?: CrashGate, settings?: Partial<ReplayerDeps['settings']>): Promise<Replayer>
  stop(): Promise<void>
}

export type TestRegistry = SchemaRegistry & { refuse: string | null; readonly subjects: ReadonlyMap<string, string[]> }

export async function createTestMesh(): Promise<TestMesh> {
  const clock = createManualClock()
  const kafka = createMemoryKafka(() => clock.now())
  const store = createMemoryObjectStore()
  const registry = createTestRegistry()
  const producer = await kafka.producer()
  const entered: string[] = []
  const failures: string[] = []
  let ids = 0
  let running: Replayer | null = null

  async function stop(): Promise<void> {
    // A replayer that has crashed cannot stop in order.
    await running?.stop().catch(() => {})
    running = null
  }

  return {
    kafka,
    store,
    clock,
    registry,
    producer,
    entered,
    failures,
    stop,
    async start(gate = createCrashGate(), settings = {}) {
      await stop()
      const replayer = createReplayer({
        kafka: gated<KafkaPort>(kafka, gate),
        store: gated(store, gate),
        registry: gated(registry, gate),
        clock,
        random: () => 0,
        newId: () => `job${ids++}`,
        fatal: (error) => failures.push(`fatal ${String(error)}`),
        telemetry: {
          bound: () => {},
          entered: ({ state }) => void entered.push(state),
          emitted: () => {},
          failing: (_job, error) => void failures.push(error instanceof MeshError ? error.code : String(error)),
        },
        settings: {
          lakeReads: 2,
          readinessInterval: 100,
          readyAge: 10_000,
          cutoverWait: 2000,
          topicLinger: 500,
          ...settings,
        },
      })
      running = replayer
      await replayer.start()
      return replayer
    },
  }
}

/** Moves time in small steps until the condition holds. */
export async function until(mesh: Pick<TestMesh, 'clock'>, condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let turns = 0; turns < 20_000; turns++) {
    if (await condition()) return
    await turn()
    mesh.clock.advance(50)
  }
  throw new Error(`still not: ${condition.toString()}`)
}

export async function untilState(
  mesh: TestMesh,
  replayer: Replayer,
  id: string,
  state: ReplayJob['state'],
): Promise<ReplayJob> {
  await until(mesh, () => replayer.replays.get(id).state === state)
  return replayer.replays.get(id)
}

/** Settles a promise while time moves. */
export async function settle<T>(mesh: Pick<TestMesh, 'clock'>, promise: Promise<T>): Promise<T> {
  let done = false
  const watched = promise.finally(() => {
    done = true
  })
  watched.catch(() => {})
  await until(mesh, () => done)
  return watched
}

/** Commits offsets of a group, as a service does that has reached them. */
export async function commit(
  kafka: KafkaPort,
  group: string,
  topic: string,
  offsets: readonly number[],
): Promise<void> {
  const assigned = Promise.withResolvers<void>()
  let left = offsets.length
  const consumer = kafka.consumer({
    groupId: group,
    topics: [topic],
    onFatal: assigned.reject,
    async assign({ partition }) {
      if (--left === 0) assigned.resolve()
      const progress = { nextOffset: offsets[partition]!, metadata: '' }
      const handler = { process: async () => null, close: async () => progress }
      return { position: offsets[partition]!, handler, paused: true }
    },
  })
  await consumer.start()
  await assigned.promise
  await consumer.stop()
}

/** What the candidate's enricher and sinks do: read the replay topic to its ends, change over, write refined, catch up. */
export async function runCandidate(
  kafka: KafkaPort,
  producer: Producer,
  replayer: Replayer,
  job: ReplayJob,
): Promise<void> {
  const { stream, version } = job
  const ends = findVersion(replayer.versions.get(stream)!, version)!.replay!.ends!
  await commit(kafka, enricherGroup(stream, version), job.replayTopic, ends)
  const raw = (await kafka.admin.offsets(rawTopic(stream))).map((partition) => partition.highWatermark)
  await commit(kafka, enricherGroup(stream, version), rawTopic(stream), raw)
  await producer.send(
    job.refinedTopic,
    ends.map((_, partition) => ({ partition, key: null, value: new Uint8Array(1), headers: [] })),
  )
  await catchUpSinks(kafka, job)
}

export async function catchUpSinks(kafka: KafkaPort, job: ReplayJob): Promise<void> {
  const ends = (await kafka.admin.offsets(job.refinedTopic)).map((partition) => partition.highWatermark)
  await commit(kafka, silverGroup(job.stream, job.version), job.refinedTopic, ends)
  await commit(kafka, landingGroup(job.stream, job.version), job.refinedTopic, ends)
}

export async function runLive(kafka: KafkaPort, stream: string, version = 1): Promise<void> {
  const raw = (await kafka.admin.offsets(rawTopic(stream))).map((partition) => partition.highWatermark)
  await commit(kafka, enricherGroup(stream, version), rawTopic(stream), raw)
}

/** Source offsets in a replay partition in order, each once: what an exact reader takes. Throws where order is broken. */
export function exactSources(records: readonly KafkaRecord[], topicId: string, partition: number): number[] {
  const taken: number[] = []
  for (const record of records) {
    const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
    if (src.topicId !== topicId || src.partition !== partition) throw new Error('a record of another partition')
    const highest = taken.at(-1) ?? -1
    if (src.offset > highest) taken.push(src.offset)
  }
  return taken
}

function createTestRegistry(): TestRegistry {
  const subjects = new Map<string, string[]>()
  const ids = new Map<string, number>()
  return {
    refuse: null,
    subjects,
    async schemaById(id) {
      for (const [avsc, known] of ids) if (known === id) return avsc
      throw new MeshError('MESH_SCHEMA_UNKNOWN', `schema ${id}`)
    },
    async register(subject, avsc) {
      if (this.refuse) throw new MeshError('MESH_SCHEMA_INCOMPATIBLE', this.refuse)
      const known = subjects.get(subject) ?? []
      if (!known.includes(avsc)) subjects.set(subject, [...known, avsc])
      ids.set(avsc, ids.get(avsc) ?? ids.size + 1)
      return ids.get(avsc)!
    },
    async checkCompatible() {
      return { compatible: this.refuse === null, reasons: this.refuse === null ? [] : [this.refuse] }
    },
  }
}
