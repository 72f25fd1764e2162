import { setImmediate as turn } from 'node:timers/promises'
import { MeshError } from '@mesh/shared/core/errors'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { SchemaRegistry } from '@mesh/shared/schema/port'
import { type CrashGate, createCrashGate, gated } from '@mesh/shared/testing/crash-gate'
import { createManualClock, type ManualClock } from '@mesh/shared/testing/manual-clock'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { createMemoryObjectStore, type MemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { createReplayer, type Replayer, type ReplayerDeps } from '../../src/service.ts'

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
  const kafka = createMemoryKafka({ now: () => clock.now() })
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
          recovered: () => {},
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

/** Files are read by threads that a busy machine lets wait, while the steps of the clock go by. */
const PATIENCE_MS = 50_000

/** Moves time in small steps until the condition holds. */
export async function until(mesh: Pick<TestMesh, 'clock'>, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  for (let turns = 0; turns < 20_000 || performance.now() < deadline; turns++) {
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
