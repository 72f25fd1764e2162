import { randomBytes } from 'node:crypto'
import { uuidV7 } from '@mesh/shared/core/uuid-v7'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { FastifyInstance } from 'fastify'
import type { KafkaLink } from './adapters/kafka-link.ts'
import { createConnectRest } from './adapters/sources/connect-rest.ts'
import { createPostgresDatabase } from './adapters/sources/postgres-database.ts'
import { sourceRoutes } from './adapters/sources/sources-http.ts'
import { type AuditSchedule, createAuditSchedule } from './audit-schedule.ts'
import type { Config } from './config.ts'
import { readApiKeys } from './core/api-keys.ts'
import type { StreamDirectory } from './core/ports.ts'
import { withReaders } from './core/sources/pulled-view.ts'
import { createDocumentSnapshots } from './document-snapshots.ts'
import type { PulledSources } from './pulled-sources.ts'
import { createSourceAuditor } from './source-auditor.ts'
import { createSourceOperations } from './source-operations.ts'
import { createSourceReconciler } from './source-reconciler.ts'
import { createSourceService, type SourceService, type SourceView } from './source-service.ts'
import type { GatewayTelemetry } from './telemetry.ts'

export type ConnectSourcesOptions = {
  readonly config: Config
  readonly kafka: KafkaPort
  readonly link: KafkaLink
  readonly directory: StreamDirectory
  readonly telemetry: GatewayTelemetry
  /** The readers of the gateway's own. */
  readonly pulled: Pick<PulledSources, 'forget' | 'status' | 'refresh'>
}

const MARK_TIMEOUT_MS = 60_000

/** Composes what looks after the sources that Kafka Connect reads. */
export function createConnectSources(options: ConnectSourcesOptions): {
  readonly connectors: SourceService
  readonly audits: AuditSchedule
  readonly routes: (app: FastifyInstance) => void
} {
  const { config, kafka, link, directory, telemetry, pulled } = options
  const connect = config.connectUrl === null ? null : createConnectRest(config.connectUrl)
  const database = createPostgresDatabase()
  const connectors = createSourceService({
    kafka,
    producer: link.producer,
    directory,
    reconciler: createSourceReconciler({ connect, database, onAction: telemetry.sourceAction, now: Date.now }),
    intervalMs: config.sourceIntervalMs,
    onTrouble: telemetry.sourcesTrouble,
    onReport: telemetry.sourceReported,
    onWishes: pulled.refresh,
    now: Date.now,
  })
  const freshId = (): string => uuidV7(Date.now(), randomBytes(10))
  const audits = createAuditSchedule({
    directory,
    sources: connectors,
    auditor: createSourceAuditor({
      kafka,
      database,
      producer: link.producer,
      freshId,
      now: Date.now,
      markTimeoutMs: MARK_TIMEOUT_MS,
    }),
    intervalMs: config.auditIntervalMs,
    onAudited: telemetry.audited,
    onTrouble: telemetry.sourcesTrouble,
  })
  const operations = createSourceOperations({
    service: connectors,
    connect,
    database,
    documents: createDocumentSnapshots({ kafka, directory, now: Date.now }),
    freshId,
    forgetPositions: pulled.forget,
  })
  /** With what this gateway knows of its own readers. */
  function view(): SourceView {
    const told = connectors.view()
    const statuses = pulled.status()
    return { ...told, sources: told.sources.map((report) => withReaders(report, statuses)) }
  }
  const routes = sourceRoutes({
    view,
    operations,
    audit: (stream, repair) => audits.audit(stream, repair),
    apiKeys: readApiKeys(config.apiKeys),
  })
  return { connectors: { ...connectors, view }, audits, routes }
}
