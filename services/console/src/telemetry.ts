import { errorFields, type Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'
import type { Snapshot } from './core/snapshot-types.ts'

/** Every event of this service, each with its metric and its log line. */
export type ConsoleTelemetry = {
  read(ms: number, snapshot: Snapshot): void
  failed(error: unknown): void
}

export function createConsoleTelemetry({ meter }: Telemetry, logger: Logger): ConsoleTelemetry {
  const seconds = meter.createHistogram('mesh_console_snapshot_seconds', { description: 'Time to read one snapshot.' })
  const problems = meter.createGauge('mesh_console_problems', { description: 'Parts of the newest snapshot not read.' })
  const failures = meter.createCounter('mesh_console_failures_total', { description: 'Snapshots not built at all.' })
  return {
    read(ms, snapshot) {
      seconds.record(ms / 1000)
      problems.record(snapshot.problems.length)
    },
    failed(error) {
      failures.add(1)
      logger.error(errorFields(error), 'a snapshot could not be built; it is tried again')
    },
  }
}
