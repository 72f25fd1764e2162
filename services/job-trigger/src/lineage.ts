import { type RetryPolicy, retryDelayMs } from '@mesh/shared/core/retry-policy'
import {
  COMMITS_TOPIC,
  LINEAGE_GROUP,
  LINEAGE_RECEIVER_GROUP,
  LINEAGE_TOPIC,
  RUNS_TOPIC,
} from '@mesh/shared/core/topics'
import type { AssignedPartition, Assignment, KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'
import type { LineageReceiver } from './adapters/lineage-receiver.ts'
import type { Clock } from './core/ports.ts'
import { createLineageSender, ReceiverAway } from './lineage-sender.ts'
import { createLineagePartition, type LineageSources } from './lineage-writer.ts'
import type { LineageTelemetry } from './telemetry.ts'

export type LineageDeps = {
  readonly kafka: Pick<KafkaPort, 'consumer'>
  readonly producer: Pick<Producer, 'send'>
  readonly sources: LineageSources
  /** Null: events go to the topic alone. */
  readonly receiver: LineageReceiver | null
  readonly clock: Clock
  readonly jitter: () => number
  readonly telemetry: LineageTelemetry
  readonly tickMs?: number
}

const RESTART: RetryPolicy = { initialMs: 1000, maxMs: 60_000, factor: 2, retries: Number.POSITIVE_INFINITY }

/**
 * Lineage beside the jobs, in groups of its own: what fails here is tried again here, and neither the planning of runs nor the process
 * is held up or ended by it.
 */
export function createLineage(deps: LineageDeps): Service {
  const stopping = new AbortController()
  const { signal } = stopping
  let working: Promise<unknown> = Promise.resolve()

  const assignWriter = async (assigned: AssignedPartition): Promise<Assignment> =>
    createLineagePartition(assigned, deps.producer, deps.sources)
  const assignSender = async (assigned: AssignedPartition): Promise<Assignment> =>
    createLineageSender(assigned, {
      receiver: deps.receiver!,
      clock: deps.clock,
      jitter: deps.jitter,
      signal,
      delivered: (events) => deps.telemetry.lineageDelivered(events),
      refused: (reason, offset) => deps.telemetry.lineageRefused(reason, offset),
      away: (reason) => deps.telemetry.receiverAway(reason),
    })

  /** Consumes until the service stops; a consumer that fails is followed by another after a pause. */
  async function consume(
    groupId: string,
    topics: readonly string[],
    assign: (assigned: AssignedPartition) => Promise<Assignment>,
  ): Promise<void> {
    for (let failures = 0; !signal.aborted; ) {
      const failed = Promise.withResolvers<unknown>()
      const ended = (): void => failed.resolve(null)
      signal.addEventListener('abort', ended, { once: true })
      const { tickMs } = deps
      const options = { groupId, topics, assign, onFatal: failed.resolve, ...(tickMs === undefined ? {} : { tickMs }) }
      const consumer = deps.kafka.consumer(options)
      const startedAt = deps.clock.now()
      const error = await consumer.start().then(
        () => failed.promise,
        (cause: unknown) => cause,
      )
      signal.removeEventListener('abort', ended)
      await consumer.stop().catch(() => {})
      if (error === null || signal.aborted) return
      if (!(error instanceof ReceiverAway)) deps.telemetry.lineageFailed(error)
      failures = deps.clock.now() - startedAt > RESTART.maxMs ? 1 : failures + 1
      await deps.clock.wait(retryDelayMs(RESTART, failures, deps.jitter())!, signal)
    }
  }

  return {
    async start() {
      working = Promise.all([
        consume(LINEAGE_GROUP, [COMMITS_TOPIC, RUNS_TOPIC], assignWriter),
        deps.receiver === null ? null : consume(LINEAGE_RECEIVER_GROUP, [LINEAGE_TOPIC], assignSender),
      ])
    },
    async stop() {
      stopping.abort()
      await working
    },
  }
}
