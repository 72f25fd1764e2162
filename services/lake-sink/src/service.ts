import type { CommitEvent } from '@mesh/shared/core/books'
import { bronzeGroup, rawTopic, refinedTopic, silverGroup } from '@mesh/shared/core/topics'
import { newestBundle, type StreamVersion, type StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { ChainLink } from '@mesh/shared/lake/chain'
import { probeConditionalWrites } from '@mesh/shared/lake/conditional-writes'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import type { Readiness } from '@mesh/shared/runtime/http-server'
import type { Logger } from '@mesh/shared/runtime/logger'
import type { Service } from '@mesh/shared/runtime/service'
import { createStreamHost, type HostedTask } from '@mesh/shared/runtime/stream-host'
import type { AvroCodec, SchemaRegistry } from '@mesh/shared/schema/port'
import { createLivePointer } from './adapters/live-pointer.ts'
import { createSilverSource } from './adapters/silver-source.ts'
import { type ChainTask, createChainRunner } from './chain-runner.ts'
import { createBronzeSource } from './core/bronze-source.ts'
import type { FlushLimits } from './core/chain-buffer.ts'
import { type CodeHashes, chainCommitEvent, NO_CODE } from './core/commit-event.ts'
import type { MemoryBudget } from './core/memory-budget.ts'
import type { LakeSinkTelemetry } from './telemetry.ts'

export type LakeSinkDeps = {
  readonly kafka: KafkaPort
  readonly store: ObjectStore
  readonly registry: SchemaRegistry
  readonly codec: AvroCodec
  readonly publish: (event: CommitEvent) => Promise<void>
  readonly limits: FlushLimits
  readonly budget: MemoryBudget
  /** Monotonic, ms. */
  readonly now: () => number
  readonly newId: () => string
  readonly telemetry: LakeSinkTelemetry
  readonly logger: Logger
  readonly fatal: (error: unknown) => void
}

/** How often due flushes are looked for, as a part of the longest age; at least every second, for the memory budget. */
const TICKS_PER_AGE = 4
const LONGEST_TICK_MS = 1_000

/** Writes bronze for every stream and silver for every live and candidate version, and points the lake at the live ones. */
export function createLakeSink(deps: LakeSinkDeps): Service & { readiness(): Readiness } {
  const tickMs = Math.min(LONGEST_TICK_MS, Math.max(5, Math.floor(deps.limits.maxAgeMs / TICKS_PER_AGE)))
  const host = createStreamHost({
    kafka: deps.kafka,
    logger: deps.logger,
    tasks: (state) => [bronzeTask(state), ...silverTasks(state)],
    onVersions: createLivePointer(deps.store, deps.telemetry),
    onFatal: deps.fatal,
  })

  function bronzeTask({ stream, rawTopicId }: StreamVersions): HostedTask {
    const names = { topic: rawTopic(stream), groupId: bronzeGroup(stream), topicId: rawTopicId }
    const openSource: ChainTask['openSource'] = async (id) => createBronzeSource(id)
    return {
      key: `bronze/${stream}/${rawTopicId}`,
      start: () => startRunner({ layer: 'bronze', stream, version: 1, ...names, openSource }, NO_CODE),
    }
  }

  function silverTasks({ stream, versions }: StreamVersions): HostedTask[] {
    const written = versions.filter(({ status }) => status !== 'retired')
    return written.map((state) => ({
      // A new bundle may be a new schema: the task starts again with it.
      key: `silver/${stream}/v${state.version}/${newestBundle(state).hash}`,
      start: () => startRunner(silverTask(stream, state), newestBundle(state)),
    }))
  }

  function silverTask(stream: string, { version, bundles }: StreamVersion): ChainTask {
    const names = { topic: refinedTopic(stream, version), groupId: silverGroup(stream, version), topicId: null }
    const schemaIds = bundles.map(({ schemaId }) => schemaId)
    const { registry, codec } = deps
    const openSource = (): ReturnType<typeof createSilverSource> =>
      createSilverSource({ registry, codec, version, schemaIds })
    return { layer: 'silver', stream, version, ...names, openSource }
  }

  async function startRunner(task: ChainTask, hashes: CodeHashes): Promise<Service> {
    const publish = (link: ChainLink): Promise<void> =>
      deps.publish(chainCommitEvent(link, hashes, new Date().toISOString()))
    const runner = createChainRunner({ ...deps, publish, task, tickMs, onFatal: deps.fatal })
    await runner.start()
    return runner
  }

  function readiness(): Readiness {
    const { running, failing, caughtUp } = host.state()
    return { ready: caughtUp && Object.keys(failing).length === 0, detail: { running, failing } }
  }

  return {
    async start() {
      await probeConditionalWrites(deps.store, `lake-sink-${deps.newId()}`)
      await host.start()
    },
    stop: () => host.stop(),
    readiness,
  }
}
