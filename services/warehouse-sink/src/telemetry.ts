import { describeError } from '@mesh/shared/core/errors'
import { errorFields, type Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'
import type { LandingTable, LandingView } from './core/ports.ts'

/** Every event of this service, each with its metric and its log line. */
export type SinkTelemetry = {
  flushed(flush: { readonly rows: number; readonly partitions: number; readonly ms: number }): void
  redelivered(stream: string): void
  /** The warehouse took nothing because another process holds it; the same flush is tried again. */
  locked(error: unknown): void
  /** An opening that waits for another process's turn to end. */
  waiting(): void
  hole(table: LandingTable, partition: number, records: number): void
  projected(view: LandingView): void
  /** Returns the reason as one line. */
  viewBehind(stream: string, error: unknown): string
}

export function createSinkTelemetry({ meter }: Telemetry, logger: Logger): SinkTelemetry {
  const counter = (name: string, description: string) => meter.createCounter(name, { description })
  const rows = counter('mesh_warehouse_sink_rows_total', 'Rows written to landing tables.')
  const flushes = counter('mesh_warehouse_sink_flushes_total', 'Transactions written.')
  const seconds = meter.createHistogram('mesh_warehouse_sink_flush_seconds', {
    description: 'Time of a flush: opening, transaction, commit events.',
  })
  const redeliveries = counter(
    'mesh_warehouse_sink_redelivered_total',
    'Records taken before, counted and not written.',
  )
  const lockWaits = counter('mesh_warehouse_sink_lock_waits_total', 'Openings that waited for another process.')
  const lockTimeouts = counter('mesh_warehouse_sink_lock_timeouts_total', 'Flushes put off: the file stayed locked.')
  const holes = counter('mesh_warehouse_sink_hole_records_total', 'Offsets lost to retention before they were read.')
  const epoch = meter.createGauge('mesh_warehouse_sink_view_epoch', { description: 'Epoch that a view shows.' })
  return {
    flushed(flush) {
      rows.add(flush.rows)
      flushes.add(1)
      seconds.record(flush.ms / 1000)
      logger.debug({ ...flush }, 'flushed')
    },
    redelivered: (stream) => redeliveries.add(1, { stream }),
    locked(error) {
      lockTimeouts.add(1)
      logger.warn(errorFields(error), 'the warehouse is locked; waiting for it')
    },
    waiting: () => lockWaits.add(1),
    hole(table, partition, records) {
      holes.add(records, { stream: table.stream })
      logger.error(
        { table: table.table, partition, records },
        'retention passed the ledger; the gap is booked as a hole',
      )
    },
    projected({ table, epoch: value }) {
      epoch.record(value, { stream: table.stream })
      logger.info({ view: table.view, table: table.table, epoch: value }, 'view follows its live version')
    },
    viewBehind(stream, error) {
      logger.error({ ...errorFields(error), stream }, 'view cannot follow its live version; it is tried again')
      return describeError(error)
    },
  }
}
