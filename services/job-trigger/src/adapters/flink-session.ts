import type { Execution } from '../core/ports.ts'
import { flinkJobId } from './flink-jobs.ts'

/** The part `flink:` of a job file. */
export type FlinkOptions = {
  readonly sql: string
  readonly mode?: 'batch' | 'streaming'
  readonly watermarks?: Readonly<Record<string, { readonly column: string; readonly delay: string }>>
  readonly vars?: Readonly<Record<string, string>>
  readonly conf?: Readonly<Record<string, string>>
}

export const optionsOf = ({ job }: Pick<Execution, 'job'>): FlinkOptions => job.options as FlinkOptions

/** Settings of the session that submits an execution. A job's `conf` overrules all but what the mesh finds the job by. */
export function sessionProperties(execution: Execution): Record<string, string> {
  const { streaming } = execution.run
  const from = streaming?.recoverFrom ?? null
  return {
    ...(streaming ? STREAMING : BATCH),
    'table.local-time-zone': 'UTC',
    ...optionsOf(execution).conf,
    'execution.runtime-mode': streaming ? 'STREAMING' : 'BATCH',
    'pipeline.name': execution.id,
    '$internal.pipeline.job-id': flinkJobId(execution.id),
    ...(from === null ? {} : { 'execution.state-recovery.path': from }),
  }
}

/**
 * A bounded job: batch mode has no late records, overwrites what it wrote before, and commits its sinks at its end. A task manager
 * that is lost is worked around; what keeps failing ends, and is job-trigger's to try again.
 */
const BATCH = {
  'restart-strategy.type': 'fixed-delay',
  'restart-strategy.fixed-delay.attempts': '3',
  'restart-strategy.fixed-delay.delay': '1 s',
}

/**
 * An unbounded job commits its sinks at checkpoints, and goes on from its newest one. What it cannot get over within minutes ends it;
 * the checkpoint stays, and the next attempt begins there.
 */
const STREAMING = {
  'execution.checkpointing.interval': '10 s',
  'execution.checkpointing.mode': 'EXACTLY_ONCE',
  'execution.checkpointing.externalized-checkpoint-retention': 'RETAIN_ON_CANCELLATION',
  'restart-strategy.type': 'failure-rate',
  'restart-strategy.failure-rate.max-failures-per-interval': '3',
  'restart-strategy.failure-rate.failure-rate-interval': '5 min',
  'restart-strategy.failure-rate.delay': '1 s',
}
