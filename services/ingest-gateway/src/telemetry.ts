import type { MeshError } from '@mesh/shared/core/errors'
import { errorFields, type Logger } from '@mesh/shared/runtime/logger'
import type { Telemetry } from '@mesh/shared/runtime/telemetry'
import type { StatusHooks } from './core/source-status.ts'
import type { AuditReport, SourceReport } from './core/sources/source-types.ts'

/** Everything the gateway tells about itself. Labels: stream names of `mesh.versions`, configured principals, error codes. */
export type GatewayTelemetry = {
  readonly accepted: (stream: string, principal: string, events: number, bytes: number) => void
  /** `stream` is `-` when the request named none that exists. */
  readonly rejected: (stream: string, error: MeshError, events: number) => void
  /** Kafka has not acknowledged these events in time, or said that it cannot. */
  readonly unknown: (stream: string, events: number) => void
  readonly eventTimeUnreadable: (stream: string) => void
  readonly produced: (seconds: number) => void
  readonly defect: (error: unknown) => void
  readonly kafkaLost: (error: unknown) => void
  readonly kafkaBack: () => void
  readonly streamLoaded: (stream: string, bundle: string) => void
  readonly streamFailing: (stream: string, error: unknown) => void
  /** `source` is the name that /readyz gives it, here and below. */
  readonly sourceHooks: (source: string, stream: string) => StatusHooks
  /** Entries that the source threw away before they were read. */
  readonly sourceLost: (source: string, stream: string, entries: number) => void
  readonly sourceAction: (source: string, action: string) => void
  readonly sourceReported: (report: SourceReport) => void
  readonly sourcesTrouble: (error: unknown) => void
  readonly audited: (report: AuditReport) => void
}

export function createGatewayTelemetry(
  telemetry: Telemetry,
  logger: Logger,
  inFlightBytes: () => number,
): GatewayTelemetry {
  const { meter } = telemetry
  const accepted = meter.createCounter('mesh_ingest_events_accepted_total', {
    description: 'Events acknowledged by Kafka.',
  })
  const bytes = meter.createCounter('mesh_ingest_bytes_accepted_total', { description: 'Bytes of accepted events.' })
  const rejected = meter.createCounter('mesh_ingest_events_rejected_total', {
    description: 'Events, or whole requests, that were refused, by error code.',
  })
  const unknown = meter.createCounter('mesh_ingest_events_unknown_total', {
    description: 'Events that were answered with 503 because Kafka did not say what became of them.',
  })
  const unreadable = meter.createCounter('mesh_ingest_event_time_unreadable_total', {
    description: 'Events whose event time could not be read; the receipt time stands in.',
  })
  const latency = meter.createHistogram('mesh_ingest_produce_seconds', {
    description: 'From the hand-over to Kafka until all records of a request are acknowledged.',
    unit: 's',
    advice: { explicitBucketBoundaries: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] },
  })
  meter
    .createObservableGauge('mesh_ingest_in_flight_bytes', { description: 'Bytes held for requests under way.' })
    .addCallback((result) => result.observe(inFlightBytes()))
  const pulled = meter.createCounter('mesh_source_records_total', {
    description: 'Records written from sources that the gateway pulls.',
  })
  const failures = meter.createCounter('mesh_source_failures_total', {
    description: 'Times that a source began to fail, by error code.',
  })
  const lost = meter.createCounter('mesh_source_lost_total', {
    description: 'Entries that a source threw away before they were read.',
  })
  const actions = meter.createCounter('mesh_ingest_source_actions_total', {
    description: 'What was done to connectors: put, pause, resume, restart, stop.',
  })
  const audits = meter.createCounter('mesh_ingest_audits_total', { description: 'Audits of captured tables.' })
  return {
    accepted(stream, principal, events, size) {
      accepted.add(events, { stream, principal })
      bytes.add(size, { stream, principal })
    },
    rejected: (stream, error, events) => rejected.add(events, { stream, code: error.code }),
    unknown: (stream, events) => unknown.add(events, { stream }),
    eventTimeUnreadable: (stream) => unreadable.add(1, { stream }),
    produced: (seconds) => latency.record(seconds),
    defect: (error) => logger.error(errorFields(error), 'a request failed by a defect'),
    kafkaLost: (error) => logger.error(errorFields(error), 'Kafka cannot be reached; requests get 503'),
    kafkaBack: () => logger.warn({}, 'Kafka can be reached again'),
    streamLoaded: (stream, bundle) => logger.info({ stream, bundle }, 'stream is served'),
    sourceHooks: (source, stream) => ({
      onWritten: (records) => pulled.add(records, { source, stream }),
      onFailing(error) {
        failures.add(1, { source, stream, code: error.code })
        logger.error({ ...errorFields(error), source, stream }, 'source fails; it is tried again')
      },
      onBack: () => logger.warn({ source, stream }, 'source is read again; nothing of it is lost'),
    }),
    sourceLost(source, stream, entries) {
      lost.add(entries, { source, stream })
      logger.error({ source, stream, entries }, 'the source threw entries away before they were read')
    },
    streamFailing: (stream, error) =>
      logger.error({ ...errorFields(error), stream }, 'stream cannot be loaded; it is tried again'),
    sourceAction: (source, action) => {
      actions.add(1, { source, action })
      logger.info({ source, action }, 'connector is brought to what is asked')
    },
    sourceReported({ source, state, problems }) {
      if (state !== 'failed') return logger.info({ source, state }, 'source')
      const [first] = problems
      logger.error({ source, code: first?.code, message: first?.message, hint: first?.hint }, 'source does not run')
    },
    audited({ stream, state, missing, differing, extra }) {
      const differences = missing.count + differing.count + extra.count
      audits.add(1, { stream, state })
      if (state !== 'open') return
      logger.error(
        { stream, differences, missing: missing.count, differing: differing.count, extra: extra.count },
        'a table and its topic differ: `mesh audit <stream> --repair` reads the rows again',
      )
    },
    sourcesTrouble: (error) => logger.warn(errorFields(error), 'sources cannot be looked after; it is tried again'),
  }
}
