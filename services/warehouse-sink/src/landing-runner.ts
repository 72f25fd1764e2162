import type { CommitEvent } from '@mesh/shared/core/books'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { landingGroup, refinedTopic } from '@mesh/shared/core/topics'
import type { AssignedPartition, Assignment, KafkaPort } from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'
import type { RefinedRow } from '@mesh/shared/schema/port'
import { type CodeHashes, landingCommitEvent } from './core/commit-event.ts'
import { createPartitionBuffer } from './core/partition-buffer.ts'
import type { LandingTable, LedgerEntry, Warehouse } from './core/ports.ts'
import { resumeEntry } from './core/resume.ts'
import type { Flusher } from './flusher.ts'
import { createLandingPartition, progressOf } from './landing-partition.ts'
import type { SinkTelemetry } from './telemetry.ts'

export type LandingRunnerOptions = {
  readonly kafka: KafkaPort
  readonly warehouse: Warehouse
  readonly flusher: Flusher
  readonly table: LandingTable
  readonly hashes: CodeHashes
  readonly readRow: (record: KafkaRecord) => Promise<RefinedRow>
  readonly publish: (event: CommitEvent) => Promise<void>
  readonly telemetry: SinkTelemetry
  readonly tickMs: number
  readonly onFatal: (error: unknown) => void
}

/** The consumer group of one stream's version: refined topic → landing table. */
export function createLandingRunner(options: LandingRunnerOptions): Service {
  const { table, warehouse, flusher } = options
  const consumer = options.kafka.consumer({
    groupId: landingGroup(table.stream, table.version),
    topics: [refinedTopic(table.stream, table.version)],
    assign,
    tickMs: options.tickMs,
    onFatal: options.onFatal,
  })

  async function assign(assigned: AssignedPartition): Promise<Assignment> {
    // A flush under way may hold steps of this very partition's former assignment: the ledger is read after it.
    await flusher.flush(() => false)
    const entries = await warehouse.ledger(table.stream, table.version, assigned.partition)
    const entry = resumeEntry(entries, assigned)
    if (entry !== null) await publishEntry(entry)
    const { topicId, partition, logStartOffset } = assigned
    const buffer = createPartitionBuffer({ table, topicId, partition, entry, logStartOffset })
    const position = buffer.nextOffset()
    if (buffer.pending()) options.telemetry.hole(table, partition, position - (entry?.nextOffset ?? 0))
    const handler = createLandingPartition({
      buffer,
      flusher,
      readRow: options.readRow,
      publish: publishEntry,
      telemetry: options.telemetry,
      stream: table.stream,
      uncommitted: entry === null || assigned.committed?.offset === entry.nextOffset ? null : progressOf(entry),
    })
    return { position, handler }
  }

  const publishEntry = (entry: LedgerEntry): Promise<void> =>
    options.publish(landingCommitEvent(entry, table, { ...options.hashes, at: new Date().toISOString() }))

  return { start: () => consumer.start(), stop: () => consumer.stop() }
}
