import type { StreamVersions } from '@mesh/shared/core/versions'
import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import type { Service } from '@mesh/shared/runtime/service'
import type { MemoryClient } from '@mesh/shared/testing/memory-kafka'
import type { VirtualScheduler } from '@mesh/shared/testing/virtual-scheduler'
import type { JoinTables } from '../../src/adapters/join-tables.ts'
import { createBodyCache } from '../../src/core/body-cache.ts'
import type { RefineCode } from '../../src/core/decide.ts'
import { createDedupeStore, type DedupeStore } from '../../src/core/dedupe.ts'
import type { JoinedRow } from '../../src/core/joins.ts'
import { createKeyedState, createMemoryKeyedStore } from '../../src/core/keyed-state.ts'
import { createRunner, type RunnerDeps } from '../../src/runner.ts'
import { SILENT_TELEMETRY, TEST_LIMITS, testParking } from '../process.ts'
import { type Random, type Rows, rowOf } from './stream.ts'

export type ProcessOf = {
  readonly scheduler: VirtualScheduler
  readonly random: Random
  readonly state: StreamVersions
  readonly code: RefineCode
  readonly rows: Rows
  readonly onFatal: (error: unknown) => void
  /** What may fail of the disk when a partition is opened; it throws. Default nothing. */
  readonly disk?: () => void
}

/** One enricher process of a schedule: the runner as the service builds it, with small limits. */
export async function startProcess(client: MemoryClient, of: ProcessOf): Promise<Service> {
  const { scheduler, random, state, code, rows, onFatal } = of
  const producer = await client.producer()
  const publisher = createCommitPublisher(producer)
  const jitter = (): number => random.below(1000) / 1000
  const deps: RunnerDeps = {
    kafka: client,
    producer,
    publish: (event) => publisher.publish(event),
    codes: { load: async () => code },
    tables: tablesOf(rows, scheduler),
    openDedupe({ retainMs }) {
      of.disk?.()
      return closable(createDedupeStore(retainMs))
    },
    openKeyed: () => createKeyedState(createMemoryKeyedStore()),
    openBodies: createBodyCache(10_000).open,
    look: () => Promise.reject(new Error('nobody answers lookups')),
    limits: { ...TEST_LIMITS, maxChunkBytes: 600, maxTransactionBytes: 2000 },
    pace: {
      commitIntervalMs: 300,
      transactionIntervalMs: 300,
      tickMs: 250,
      now: () => scheduler.now(),
      random: jitter,
    },
    parking: testParking({ maxRecords: 6, retry: { initialMs: 500, maxMs: 4000, factor: 2, retries: 1e9 } }),
    wallClock: () => new Date(scheduler.now()).toISOString(),
    epochMs: () => scheduler.now(),
    random: jitter,
    telemetry: SILENT_TELEMETRY,
    onStall: () => {},
    onFatal,
  }
  const joined = code.contract.refine.joins.length > 0 ? new Map([['customers', 1]]) : new Map<string, number>()
  const runner = createRunner(deps, { state, version: state.versions[0]!, joined, scopes: new Map() })
  await runner.start()
  return runner
}

/** A store on disk cannot be used once it is closed either. */
function closable(store: DedupeStore): DedupeStore {
  let closed = false
  return new Proxy(store, {
    get(target, name: keyof DedupeStore) {
      if (closed && name !== 'close') throw new TypeError(`dedupe.${name} after the store was closed`)
      return name === 'close' ? () => void (closed = true) : target[name]
    },
  })
}

function tablesOf(rows: Rows, scheduler: VirtualScheduler): JoinTables {
  const find = (key: string): JoinedRow | null =>
    scheduler.now() >= (rows.get(key) ?? Number.POSITIVE_INFINITY) ? rowOf(key) : null
  return {
    acquire: async () => ({
      find,
      findAsOf: (key) => ({ row: find(key), beyond: false }),
      knows: () => true,
      size: () => rows.size,
      onRow(listener) {
        for (const [key, at] of rows) {
          if (at > scheduler.now()) scheduler.after(at - scheduler.now(), () => listener(key))
        }
        return () => {}
      },
    }),
    release: async () => {},
    positions: () => ({}),
    sizes: () => [],
  }
}
