import type { CommitEvent } from '@mesh/shared/core/books'
import { liveVersion, newestBundle, type StreamVersion, type StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import type { Readiness } from '@mesh/shared/runtime/http-server'
import type { Logger } from '@mesh/shared/runtime/logger'
import type { Service } from '@mesh/shared/runtime/service'
import { createStreamHost, type HostedTask } from '@mesh/shared/runtime/stream-host'
import { getBundle } from '@mesh/shared/schema/bundle'
import { columnsOf } from '@mesh/shared/schema/columns'
import type { AvroCodec, Bundle } from '@mesh/shared/schema/port'
import { createRowReader } from '@mesh/shared/schema/refined-row'
import { landingTable } from './core/landing-table.ts'
import type { LandingTable, LandingView, Warehouse } from './core/ports.ts'
import { createFlusher, type FlushLimits } from './flusher.ts'
import { createLandingRunner } from './landing-runner.ts'
import type { SinkTelemetry } from './telemetry.ts'
import { createViewProjector } from './view-projector.ts'

export type WarehouseSinkDeps = {
  readonly kafka: KafkaPort
  readonly store: ObjectStore
  readonly codec: AvroCodec
  readonly warehouse: Warehouse
  readonly publish: (event: CommitEvent) => Promise<void>
  readonly limits: FlushLimits
  /** Monotonic, ms. */
  readonly now: () => number
  readonly telemetry: SinkTelemetry
  readonly logger: Logger
  readonly fatal: (error: unknown) => void
}

/** How often due flushes are looked for, as a part of the longest age: an age is overrun by at most this. */
const TICKS_PER_AGE = 4
const RETRY_MS = 2000

/** Lands every live and candidate version of every stream, and keeps the views on the live ones. */
export function createWarehouseSink(deps: WarehouseSinkDeps): Service & { readiness(): Readiness } {
  const { warehouse, telemetry } = deps
  const flusher = createFlusher({ warehouse, limits: deps.limits, now: deps.now, telemetry })
  const projector = createViewProjector({ warehouse, viewOf, telemetry, retryMs: RETRY_MS })
  const host = createStreamHost({
    kafka: deps.kafka,
    logger: deps.logger,
    tasks,
    onVersions: (all) => projector.project(all),
    onFatal: deps.fatal,
  })

  function tasks(state: StreamVersions): readonly HostedTask[] {
    return state.versions
      .filter((version) => version.status !== 'retired')
      .map((version) => ({
        // A new bundle is a new schema: the task starts again with it.
        key: `${state.stream}/v${version.version}/${newestBundle(version).hash}`,
        start: () => startRunner(state, version),
      }))
  }

  async function startRunner(state: StreamVersions, version: StreamVersion): Promise<Service> {
    const { table, bundle } = await describe(state.stream, version)
    // Also a candidate's table is there before any cutover.
    await warehouse.prepare(table)
    const runner = createLandingRunner({
      kafka: deps.kafka,
      warehouse,
      flusher,
      table,
      hashes: bundle,
      readRow: createRowReader({ codec: deps.codec, readerAvsc: bundle.refinedAvsc, version: version.version }),
      publish: deps.publish,
      telemetry,
      tickMs: Math.max(5, Math.floor(deps.limits.maxAgeMs / TICKS_PER_AGE)),
      onFatal: deps.fatal,
    })
    await runner.start()
    return runner
  }

  async function viewOf(state: StreamVersions): Promise<LandingView> {
    const { table, bundle } = await describe(state.stream, liveVersion(state))
    return { table, mode: bundle.contract.warehouse.mode, epoch: state.epoch }
  }

  async function describe(stream: string, version: StreamVersion): Promise<{ table: LandingTable; bundle: Bundle }> {
    const bundle = await getBundle(deps.store, newestBundle(version).hash)
    const columns = columnsOf(bundle.refinedAvsc)
    return { bundle, table: landingTable(stream, version.version, bundle.contract.warehouse.table, columns) }
  }

  function readiness(): Readiness {
    const { running, failing, caughtUp } = host.state()
    const [blocked, behind] = [flusher.blocked(), projector.behind()]
    const healthy = blocked === null && Object.keys(failing).length === 0 && Object.keys(behind).length === 0
    return { ready: caughtUp && healthy, detail: { running, failing, viewsBehind: behind, blocked } }
  }

  return {
    start: () => host.start(),
    async stop() {
      flusher.stop()
      projector.stop()
      await host.stop()
    },
    readiness,
  }
}
