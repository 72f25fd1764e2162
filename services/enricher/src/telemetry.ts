import type { Counts } from '@mesh/shared/core/books'
import type { Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'
import type { BookId } from './core/books.ts'
import type { Problem } from './core/problem.ts'
import type { Stall } from './worker-context.ts'

/** Every event of this service, each with its metric and its log line. */
export type EnricherTelemetry = {
  /** After a batch: the books before and after it. */
  decided(id: BookId, before: Counts, after: Counts): void
  deadLettered(id: BookId, problem: Problem): void
  checkpoint(id: BookId, held: { readonly dedupeIds: number; readonly parked: number }): void
  /** Parked records got their fates. */
  released(id: BookId, fates: readonly ('ok' | 'drop' | 'deadLetter')[]): void
  /** A partition is held back, or flows again (null). */
  stalled(id: Pick<BookId, 'stream' | 'version' | 'partition'>, stall: Stall | null): void
  /** A partition's state was rebuilt and it begins to flow. */
  restored(id: BookId, restored: { readonly ms: number; readonly dedupeIds: number }): void
}

const FATES = ['ok', 'duplicate', 'drop', 'deadLetter', 'parked', 'redelivered'] as const

const STALLS = ['parked-full', 'breaker', 'stopped'] as const

export function createEnricherTelemetry({ meter }: Telemetry, logger: Logger): EnricherTelemetry {
  const records = meter.createCounter('mesh_enricher_records_total', { description: 'Raw records by fate.' })
  const outputs = meter.createCounter('mesh_enricher_outputs_total', { description: 'Refined records booked.' })
  const deadLetters = meter.createCounter('mesh_enricher_dead_letters_total', {
    description: 'Dead letters by code; codes of refine.ts count as "refine".',
  })
  const ids = meter.createGauge('mesh_enricher_dedupe_ids', { description: 'Event ids held for the dedupe window.' })
  const parked = meter.createGauge('mesh_enricher_parked_records', { description: 'Records that wait for a join.' })
  const releases = meter.createCounter('mesh_enricher_released_total', { description: 'Parked records by fate.' })
  const stalls = meter.createGauge('mesh_enricher_partition_stalled', {
    description: '1 while a partition stands still, by reason.',
  })
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
    checkpoint({ stream, version, partition }, held) {
      ids.record(held.dedupeIds, { stream, version, partition })
      parked.record(held.parked, { stream, version, partition })
    },
    released({ stream, version }, fates) {
      for (const fate of fates) releases.add(1, { stream, version, fate })
    },
    stalled({ stream, version, partition }, stall) {
      for (const reason of STALLS) stalls.record(stall?.kind === reason ? 1 : 0, { stream, version, partition, reason })
      const where = { stream, version, partition }
      if (stall === null) logger.warn(where, 'the partition flows again')
      else if (stall.kind === 'parked-full')
        logger.warn({ ...where, ...stall }, 'the partition waits: too much is parked')
      else logger.error({ ...where, ...stall }, 'the partition stands still; it is tried again')
    },
    restored({ stream, version, partition }, { ms, dedupeIds }) {
      seconds.record(ms / 1000, { stream, version })
      logger.debug({ stream, version, partition, ms: Math.round(ms), dedupeIds }, 'partition restored')
    },
  }
}
