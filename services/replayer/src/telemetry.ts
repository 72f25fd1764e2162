import type { BindResponse } from '@mesh/shared/core/replay-api'
import { errorFields, type Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'
import type { RunnerEvents } from './core/replay-runner.ts'

/** Every event of this service, each with its metric and its log line. */
export type ReplayerTelemetry = RunnerEvents & {
  bound(answer: BindResponse): void
}

export function createReplayerTelemetry({ meter }: Telemetry, logger: Logger): ReplayerTelemetry {
  const counter = (name: string, description: string) => meter.createCounter(name, { description })
  const bindings = counter('mesh_replayer_bindings_total', 'Bundles bound to a version.')
  const transitions = counter('mesh_replayer_job_transitions_total', 'Replay jobs that entered a state.')
  const records = counter('mesh_replayer_records_total', 'Records written to replay topics.')
  const failures = counter(
    'mesh_replayer_failures_total',
    'Failures of replay jobs, each counted once until the job goes on.',
  )
  const epoch = meter.createGauge('mesh_replayer_epoch', { description: 'Epoch of a stream in mesh.versions.' })
  return {
    bound({ stream, changed, version, epoch: value, bundle }) {
      epoch.record(value, { stream })
      if (!changed) return
      bindings.add(1, { stream })
      logger.info({ stream, version, bundle }, 'bundle bound')
    },
    entered({ id, stream, version, state }) {
      transitions.add(1, { stream, state })
      logger.info({ job: id, stream, version, state }, 'replay job entered a state')
    },
    emitted: ({ stream }, count) => records.add(count, { stream }),
    failing({ id, stream, state }, error) {
      failures.add(1, { stream, state })
      logger.error({ ...errorFields(error), job: id, stream, state }, 'replay job failed; it is tried again')
    },
    recovered: ({ id, stream, state }) => logger.warn({ job: id, stream, state }, 'replay job goes on after a failure'),
  }
}
