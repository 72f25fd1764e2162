import type { KafkaRecord } from '@mesh/shared/core/record'
import { recordBytes } from '@mesh/shared/core/record'
import type { PartitionHandler, Progress } from '@mesh/shared/kafka/port'
import type { RefinedRow } from '@mesh/shared/schema/port'
import type { PartitionBuffer } from './core/partition-buffer.ts'
import type { LedgerEntry } from './core/ports.ts'
import type { Flusher, FlushMember } from './flusher.ts'
import type { SinkTelemetry } from './telemetry.ts'

export type LandingPartitionOptions = {
  readonly buffer: PartitionBuffer
  readonly flusher: Flusher
  readonly readRow: (record: KafkaRecord) => Promise<RefinedRow>
  readonly publish: (entry: LedgerEntry) => Promise<void>
  readonly telemetry: SinkTelemetry
  readonly stream: string
  /** A ledger position that the group does not have: handed over first, so that lag closes though nothing new arrives. */
  readonly uncommitted: Progress | null
}

/** One refined partition: record → row → buffer. Its offsets are returned only after the flush that wrote them. */
export function createLandingPartition(options: LandingPartitionOptions): PartitionHandler {
  const { buffer, flusher, readRow, telemetry, stream } = options
  let durable: Progress | null = options.uncommitted
  const member: FlushMember = {
    buffer,
    publish: options.publish,
    settled(entry) {
      durable = progressOf(entry)
    },
  }
  flusher.join(member)
  // A hole that retention left is progress of its own.
  if (buffer.pending()) flusher.changed(0, 0)

  /** Hands over each durable step once; a flush that another partition set off counts as well. */
  function takeProgress(): Progress | null {
    const progress = durable
    durable = null
    return progress
  }

  return {
    async process(batch) {
      for (const record of batch.records) {
        const row = await readRow(record)
        const bytes = recordBytes(record)
        const taken = buffer.accept(record.offset, row, bytes)
        flusher.changed(taken ? 1 : 0, taken ? bytes : 0)
        if (!taken) telemetry.redelivered(stream)
        if (flusher.full()) await flusher.flush(flusher.full)
      }
      buffer.advance(batch.nextOffset)
      if (buffer.pending()) flusher.changed(0, 0)
      return takeProgress()
    },
    async tick() {
      if (flusher.due()) await flusher.flush(flusher.due)
      return takeProgress()
    },
    async close() {
      await flusher.flush(buffer.pending)
      flusher.leave(member)
      return takeProgress()
    },
  }
}

/** The group's offset is only a projection of the ledger: it carries nothing else. */
export const progressOf = (entry: LedgerEntry): Progress => ({ nextOffset: entry.nextOffset, metadata: '' })
