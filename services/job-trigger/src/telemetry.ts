import type { MeshError } from '@mesh/shared/core/errors'
import type { Run } from '@mesh/shared/core/runs'
import { errorFields, type Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'

/** Every event of this service, each with its metric and its log line. */
export type TriggerTelemetry = {
  /** This process holds mesh.commits. */
  took(offset: number): void
  entered(run: Run): void
  unreadable(offset: number): void
  badFile(file: string, error: MeshError): void
  scanFailed(error: unknown): void
}

export type LineageTelemetry = {
  lineageDelivered(events: number): void
  /** The receiver will never take this event; it stays on mesh.lineage. */
  lineageRefused(reason: string, offset: number): void
  receiverAway(reason: string): void
  withoutColumns(error: unknown): void
  lineageFailed(error: unknown): void
}

export function createLineageTelemetry({ meter }: Telemetry, logger: Logger): LineageTelemetry {
  const events = meter.createCounter('mesh_lineage_events_total', {
    description: 'Lineage events handed to the receiver, by outcome.',
  })
  const problems = meter.createCounter('mesh_lineage_problems_total', { description: 'What lineage had to try again.' })
  let away = false
  return {
    lineageDelivered(count) {
      events.add(count, { outcome: 'delivered' })
      if (away) logger.info({}, 'the lineage receiver answers again')
      away = false
    },
    lineageRefused(reason, offset) {
      events.add(1, { outcome: 'refused' })
      logger.error({ reason, offset }, 'the lineage receiver refuses an event of mesh.lineage; it is passed over')
    },
    receiverAway(reason) {
      problems.add(1, { problem: 'receiver-away' })
      if (!away) logger.warn({ reason }, 'the lineage receiver is away; events wait on mesh.lineage')
      away = true
    },
    withoutColumns(error) {
      problems.add(1, { problem: 'no-columns' })
      logger.warn(errorFields(error), 'lineage goes on without columns: the schema or the manifest cannot be read')
    },
    lineageFailed(error) {
      problems.add(1, { problem: 'failed' })
      logger.warn(errorFields(error), 'lineage failed and is started anew; jobs go on')
    },
  }
}

export function createTriggerTelemetry({ meter }: Telemetry, logger: Logger): TriggerTelemetry {
  const transitions = meter.createCounter('mesh_job_runs_total', { description: 'Runs that entered a state.' })
  const freshness = meter.createHistogram('mesh_job_freshness_seconds', {
    description: 'From the commit event of the newest input of a run to its success.',
  })
  const seconds = meter.createHistogram('mesh_job_run_seconds', {
    description: 'From the start of a run to its success.',
  })
  const strange = meter.createCounter('mesh_job_unreadable_total', {
    description: 'Records of mesh.commits passed over.',
  })
  const broken = meter.createCounter('mesh_job_files_refused_total', { description: 'Job files that were refused.' })
  return {
    took: (offset) => logger.info({ offset }, 'this job-trigger holds mesh.commits'),
    entered(run) {
      const { id, job, state, attempt } = run
      transitions.add(1, { job, state })
      switch (state) {
        case 'succeeded':
          return measure(run)
        case 'failed':
        case 'planned':
          if (run.error)
            logger.warn(
              { job, run: id, attempt, code: run.error.code, error: run.error.message },
              'a run waits; it is tried again',
            )
          return
        case 'dead':
          return logger.error(
            { job, run: id, attempt, code: run.error?.code, error: run.error?.message },
            'a run is out of retries: mesh jobs retry',
          )
        case 'running':
          if (run.error)
            logger.warn(
              { job, run: id, attempt, code: run.error.code, error: run.error.message },
              'the engine does not answer; it is asked again',
            )
          return
        case 'stopped':
          return logger.info({ job, run: id, savepoint: run.streaming?.recoverFrom }, 'a run that streams is stopped')
        case 'superseded':
          return
      }
    },
    unreadable(offset) {
      strange.add(1)
      logger.error({ offset }, 'a record of mesh.commits is no commit event; it is passed over')
    },
    badFile(file, error) {
      broken.add(1, { file })
      logger.error({ ...errorFields(error), file }, 'a job file is refused; the other jobs go on')
    },
    scanFailed: (error) =>
      logger.error(errorFields(error), 'the jobs folder cannot be read; the jobs stay as they are'),
  }

  function measure({ job, startedAt, endedAt, newestInputAt }: Run): void {
    if (endedAt === null) return
    if (startedAt !== null) seconds.record((Date.parse(endedAt) - Date.parse(startedAt)) / 1000, { job })
    if (newestInputAt !== null) freshness.record((Date.parse(endedAt) - Date.parse(newestInputAt)) / 1000, { job })
  }
}
