import { join } from 'node:path'
import type { JoinScope } from '@mesh/shared/core/join-scope'
import { enricherGroup, rawTopic } from '@mesh/shared/core/topics'
import { findVersion, type StreamVersions } from '@mesh/shared/core/versions'
import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { vi } from 'vitest'
import { type CodeLoader, createCodeLoader, type PrivacyDeps } from '../src/adapters/code-loader.ts'
import { createDedupeFolder } from '../src/adapters/dedupe-folder.ts'
import { createJoinTables, type JoinTablesDeps } from '../src/adapters/join-tables.ts'
import { openKeyedState } from '../src/adapters/keyed-stores.ts'
import { type BodyCache, createBodyCache } from '../src/core/body-cache.ts'
import type { RefineCode } from '../src/core/decide.ts'
import { createMemoryBudget } from '../src/core/memory-budget.ts'
import { createMemoryTableStore } from '../src/core/table-store.ts'
import type { Look } from '../src/join-record.ts'
import { createRunner, type RunnerDeps } from '../src/runner.ts'
import type { EnricherDeps } from '../src/service.ts'
import type { EnricherTelemetry } from '../src/telemetry.ts'
import type { World } from './world.ts'

export const SILENT_TELEMETRY: EnricherTelemetry = {
  decided: () => {},
  deadLettered: () => {},
  duplicate: () => {},
  beyondHistory: () => {},
  joinWidened: () => {},
  checkpoint: () => {},
  erased: () => {},
  released: () => {},
  stalled: () => {},
  restored: () => {},
}

/** The secret that every stream of a test finds under any reference. */
export const TEST_SECRET = 'a secret of at least thirty-two characters'

export function codesOf(
  world: Pick<World, 'store' | 'codec' | 'cacheDir'>,
  privacy: Partial<PrivacyDeps> = {},
): CodeLoader {
  const { store, codec, cacheDir } = world
  const plain = { readSecret: async () => TEST_SECRET, holdMs: 1000, maxSubjects: 1000, onErased: () => {} }
  return createCodeLoader({ store, codec, cacheDir, privacy: { ...plain, ...privacy } })
}

export type ProcessOptions = {
  /** What stands between the process and the broker: a place to crash. */
  readonly kafka?: KafkaPort
  readonly maxChunkBytes?: number
  readonly parking?: RunnerDeps['parking']
  readonly bodies?: BodyCache
  readonly epochMs?: () => number
  /** What stands between a bundle and the runner. */
  readonly code?: (code: RefineCode) => RefineCode
  readonly onStall?: RunnerDeps['onStall']
  readonly joined?: ReadonlyMap<string, number>
  readonly scopes?: ReadonlyMap<string, JoinScope>
  readonly version?: number
  readonly look?: Look
  readonly openStore?: JoinTablesDeps['openStore']
}

/** So few that test logs make many segments. */
const SEGMENT_IDS = 8

export const TEST_LIMITS = { maxChunkBytes: 700_000, maxOutputBytes: 100_000, maxTransactionBytes: 1_000_000 }

/** Parking that is tried again within milliseconds. */
export function testParking(changes: Partial<RunnerDeps['parking']> = {}): RunnerDeps['parking'] {
  const retry = { initialMs: 20, maxMs: 200, factor: 2, retries: Number.POSITIVE_INFINITY }
  return { maxRecords: 1000, maxIndexBytes: 10_000_000, retry, ...changes }
}

/** What a process needs around it: a whole world, or a real broker and a folder. */
export type Surroundings = Pick<World, 'store' | 'codec' | 'cacheDir'> & { readonly kafka: KafkaPort }

/** What a process of the service builds, over the world's broker. */
export async function processDeps(
  world: Surroundings,
  options: ProcessOptions,
  onFatal: (e: unknown) => void,
): Promise<EnricherDeps & RunnerDeps> {
  const kafka = options.kafka ?? world.kafka
  const producer = await kafka.producer()
  const publisher = createCommitPublisher(producer)
  const codes = codesOf(world)
  const budget = createMemoryBudget(64_000_000)
  const dir = join(world.cacheDir, 'dedupe')
  const dedupes = createDedupeFolder({ dir, segmentIds: SEGMENT_IDS, budget })
  return {
    kafka,
    producer,
    publish: (event) => publisher.publish(event),
    codes: { load: async (binding) => (options.code ?? ((code) => code))(await codes.load(binding)) },
    openKeyed: (id) => openKeyedState(join(world.cacheDir, 'keyed'), id),
    tables: createJoinTables({
      kafka,
      codec: world.codec,
      openStore: options.openStore ?? (({ historyMs }) => createMemoryTableStore(historyMs)),
      budget: createMemoryBudget(1_000_000),
      wallClockMs: Date.now,
    }),
    openDedupe: dedupes.open,
    openBodies: (options.bodies ?? createBodyCache(10_000)).open,
    look: options.look ?? (() => Promise.reject(new Error('nobody answers lookups'))),
    retain: dedupes.retain,
    logger: SILENT_LOGGER,
    limits: { ...TEST_LIMITS, maxChunkBytes: options.maxChunkBytes ?? 700_000 },
    pace: { commitIntervalMs: 0, transactionIntervalMs: 0, tickMs: 5, now: () => performance.now(), random: () => 0 },
    parking: options.parking ?? testParking(),
    wallClock: () => '2026-01-01T00:00:00.000Z',
    epochMs: options.epochMs ?? (() => Date.now()),
    random: () => 0,
    onStall: options.onStall ?? (() => {}),
    telemetry: SILENT_TELEMETRY,
    onFatal,
  }
}

export type Running = { stop(): Promise<void>; readonly fatal: () => unknown }

export async function runStream(
  world: Surroundings,
  state: StreamVersions,
  options: ProcessOptions = {},
): Promise<Running> {
  let fatal: unknown = null
  const deps = await processDeps(world, options, (error) => {
    fatal ??= error
  })
  const version = findVersion(state, options.version ?? state.live)!
  const runner = createRunner(deps, {
    state,
    version,
    joined: options.joined ?? new Map(),
    scopes: options.scopes ?? new Map(),
  })
  await runner.start()
  return { stop: () => runner.stop(), fatal: () => fatal }
}

/** Waits until every raw record is decided and committed. */
export async function caughtUp(
  world: Pick<Surroundings, 'kafka'>,
  state: StreamVersions,
  running: Running,
  version: number = state.live,
  timeoutMs: number = 50_000,
): Promise<void> {
  const { kafka } = world
  await vi.waitFor(
    async () => {
      if (running.fatal() !== null) return
      const committed = await kafka.admin.committed(enricherGroup(state.stream, version), rawTopic(state.stream))
      for (const { partition, highWatermark } of await kafka.admin.offsets(rawTopic(state.stream))) {
        const offset = committed.get(partition)?.offset ?? 0
        if (offset < highWatermark) throw new Error(`partition ${partition} is at ${offset} of ${highWatermark}`)
      }
    },
    { timeout: timeoutMs, interval: 5 },
  )
  if (running.fatal() !== null) throw running.fatal()
}

/** Runs until caught up, then stops in good order. */
export async function runToEnd(
  world: Surroundings,
  state: StreamVersions,
  options: ProcessOptions = {},
): Promise<void> {
  const running = await runStream(world, state, options)
  try {
    await caughtUp(world, state, running, options.version)
  } finally {
    await running.stop()
  }
}
