import { describeError } from '@mesh/shared/core/errors'
import type { SinkTelemetry } from '../../src/telemetry.ts'

export const SILENT_TELEMETRY: SinkTelemetry = {
  flushed: () => {},
  redelivered: () => {},
  locked: () => {},
  waiting: () => {},
  hole: () => {},
  projected: () => {},
  viewBehind: (_stream, error) => describeError(error),
}
