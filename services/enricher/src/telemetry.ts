import type { Counts } from '@mesh/shared/core/books'
import type { Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'
import type { JoinTables } from './adapters/join-tables.ts'
import type { BookId } from './core/books.ts'
import type { MemoryBudget } from './core/memory-budget.ts'
import type { Problem } from './core/problem.ts'
import type { Stall } from './core/stall.ts'

/** Every event of this service, each with its metric and its log line. */
export type EnricherTelemetry = {
  /** After a batch: the books before and after it. */
  decided(id: BookId, before: Counts, after: Counts): void
  deadLettered(id: BookId, problem: Problem): void
  /** A duplicate: `ageMs` is the raw time since the record that it repeats, by which a window can be chosen. */
  duplicate(id: BookId, ageMs: number): void
  /** A join as of a time before the history that its table keeps. */
  beyondHistory(stream: string, version: number, as: string): void
  /** A table of one partition could not answer for sure, so all of it is read. */
  joinWidened(stream: string, version: number, widened: { readonly table: string; readonly reason: string }): void
  checkpoint(
    id: BookId,
    held: { readonly dedupeIds: number; readonly dedupeBytes: number; readonly parked: number },
  ): void
  /** A value was left out because its subject is erased. */
  erased(stream: string): void
  /** Parked records got their fates. */
  released(id: BookId, fates: readonly ('ok' | 'drop' | 'deadLetter')[]): void
  /** A partition is held back, or flows again (null). */
  stalled(id: Pick<BookId, 'stream' | 'version' | 'partition'>, stall: Stall | null): void
  /** A partition's state was rebuilt and it begins to flow. */
  restored(id: BookId, restored: { readonly ms: number; readonly dedupeIds: number }): void
}

/** What is asked for its size whenever metrics are read. */
type Holders = {
  readonly dedupeBudget: Pick<MemoryBudget, 'used'>
  readonly rowBudget: Pick<MemoryBudget, 'used'>
  readonly tables: Pick<JoinTables, 'sizes'>
}

/** A second to a month. */
const AGE_BOUNDS_S = [
  1,
  10,
  60,
  300,
  1800,
  3600,
  4 * 3600,
  12 * 3600,
  86_400,
  2 * 86_400,
  4 * 86_400,
  7 * 86_400,
  30 * 86_400,
]

const FATES = ['ok', 'duplicate', 'drop', 'deadLetter', 'parked', 'redelivered'] as const

const STALLS = ['parked-full', 'breaker', 'stopped'] as const

export function createEnricherTelemetry(
  { meter }: Telemetry,
  logger: Logger,
  { dedupeBudget, rowBudget, tables }: Holders,
): EnricherTelemetry {
  const records = meter.createCounter('mesh_enricher_records_total', { description: 'Raw records by fate.' })
  const outputs = meter.createCounter('mesh_enricher_outputs_total', { description: 'Refined records booked.' })
  const deadLetters = meter.createCounter('mesh_enricher_dead_letters_total', {
    description: 'Dead letters by code; codes of refine.ts count as "refine".',
  })
  const erased = meter.createCounter('mesh_enricher_erased_values_total', {
    description: 'Values left out because their subject is erased.',
  })
  const ids = meter.createGauge('mesh_enricher_dedupe_ids', { description: 'Event ids held for the dedupe window.' })
  meter
    .createObservableGauge('mesh_enricher_dedupe_memory_bytes', { description: 'Memory that the dedupe windows take.' })
    .addCallback((result) => result.observe(dedupeBudget.used()))
  meter
    .createObservableGauge('mesh_enricher_table_memory_bytes', { description: 'Memory of joined rows held decoded.' })
    .addCallback((result) => result.observe(rowBudget.used()))
  const tableRows = meter.createObservableGauge('mesh_enricher_table_rows', { description: 'Rows of joined tables.' })
  const tableDisk = meter.createObservableGauge('mesh_enricher_table_disk_bytes', {
    description: 'Bytes of the files of joined tables.',
  })
  meter.addBatchObservableCallback(
    (result) => {
      for (const { stream, version, historyMs, partition, rows, diskBytes } of tables.sizes()) {
        const labels = { joined: stream, version, history: historyMs !== null, partition: partition ?? 'all' }
        result.observe(tableRows, rows, labels)
        result.observe(tableDisk, diskBytes, labels)
      }
    },
    [tableRows, tableDisk],
  )
  const disk = meter.createGauge('mesh_enricher_dedupe_disk_bytes', {
    description: 'Bytes of the files that hold event ids for a restart.',
  })
  const ages = meter.createHistogram('mesh_enricher_duplicate_age_seconds', {
    description: 'Raw time between a duplicate and the record that it repeats.',
    advice: { explicitBucketBoundaries: AGE_BOUNDS_S },
  })
  const beyond = meter.createCounter('mesh_enricher_joins_beyond_history_total', {
    description: 'Joins as of a time before the history that is kept: they take the oldest row known.',
  })
  const widened = meter.createCounter('mesh_enricher_joins_widened_total', {
    description: 'Joined tables that were held by partition and had to be read whole.',
  })
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
    beyondHistory: (stream, version, as) => beyond.add(1, { stream, version, as }),
    joinWidened(stream, version, { table, reason }) {
      widened.add(1, { stream, version, table })
      logger.warn(
        { stream, version, table, reason },
        'the part of a joined table cannot be trusted: the whole table is read',
      )
    },
    duplicate: ({ stream, version }, ageMs) => ages.record(ageMs / 1000, { stream, version }),
    erased: (stream) => erased.add(1, { stream }),
    checkpoint({ stream, version, partition }, held) {
      ids.record(held.dedupeIds, { stream, version, partition })
      disk.record(held.dedupeBytes, { stream, version, partition })
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
