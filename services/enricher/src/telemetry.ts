import type { Counts } from '@mesh/shared/core/books'
import type { Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'
import type { BookId } from './core/books.ts'
import type { Problem } from './core/problem.ts'

/** Every event of this service, each with its metric and its log line. */
export type EnricherTelemetry = {
  /** After a batch: the books before and after it. */
  decided(id: BookId, before: Counts, after: Counts): void
  deadLettered(id: BookId, problem: Problem): void
  checkpoint(id: BookId, dedupeIds: number): void
  /** A value was left out because its subject is erased. */
  erased(stream: string): void
  /** A partition's state was rebuilt and it begins to flow. */
  restored(id: BookId, restored: { readonly ms: number; readonly dedupeIds: number }): void
}

const FATES = ['ok', 'duplicate', 'drop', 'deadLetter', 'redelivered'] as const

export function createEnricherTelemetry({ meter }: Telemetry, logger: Logger): EnricherTelemetry {
  const records = meter.createCounter('mesh_enricher_records_total', { description: 'Raw records by fate.' })
  const outputs = meter.createCounter('mesh_enricher_outputs_total', { description: 'Refined records booked.' })
  const deadLetters = meter.createCounter('mesh_enricher_dead_letters_total', {
    description: 'Dead letters by code; codes of refine.ts count as "refine".',
  })
  const erased = meter.createCounter('mesh_enricher_erased_values_total', {
    description: 'Values left out because their subject is erased.',
  })
  const ids = meter.createGauge('mesh_enricher_dedupe_ids', { description: 'Event ids held for the dedupe window.' })
  const seconds = meter.createHistogram('mesh_enricher_restore_seconds', {
    description: 'Time to rebuild the state of a partition.',
  })
  return {
    decided({ stream, version }, before, after) {
      for (const fate of FATES) {
        if (after[fate] > before[fate]) records.add(after[fate] - before[fate], { stream, version, fate })
      }
      if (after.outputs > before.outputs) outputs.add(after.outputs - before.outputs, { stream, version })
    },
    deadLettered({ stream, version }, problem) {
      deadLetters.add(1, { stream, version, code: problem.own ? problem.code : 'refine' })
    },
    erased: (stream) => erased.add(1, { stream }),
    checkpoint: ({ stream, version, partition }, size) => ids.record(size, { stream, version, partition }),
    restored({ stream, version, partition }, { ms, dedupeIds }) {
      seconds.record(ms / 1000, { stream, version })
      logger.debug({ stream, version, partition, ms: Math.round(ms), dedupeIds }, 'partition restored')
    },
  }
}
