import { createHmac } from 'node:crypto'
import type { Contract, Ingest } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import type { RecordToSend } from '@mesh/shared/core/record'
import { headerText } from '@mesh/shared/core/record'
import type { Producer } from '@mesh/shared/kafka/port'
import { createHttpServer } from '@mesh/shared/runtime/http-server'
import { SILENT_LOGGER } from '@mesh/shared/runtime/logger'
import { createTelemetry, type Telemetry } from '@mesh/shared/runtime/telemetry'
import type { FastifyInstance } from 'fastify'
import { gatewayRoutes } from '../../src/adapters/http.ts'
import { createRawWriter } from '../../src/adapters/raw-writer.ts'
import { type Admission, createAdmission } from '../../src/core/admission.ts'
import { readApiKeys } from '../../src/core/api-keys.ts'
import { compileEventCheck } from '../../src/core/event-check.ts'
import type { IngestStream, StreamDirectory } from '../../src/core/ports.ts'
import { createIngestGateway, type IngestGatewayOptions } from '../../src/service.ts'
import { createGatewayTelemetry } from '../../src/telemetry.ts'

export const API_KEY = 'k-1'
export const WEBHOOK_SECRET = 'shared-secret'
export const RECEIVED_AT: number = Date.UTC(2026, 0, 2, 3, 4, 5)

export const RAW_SCHEMA: Readonly<Record<string, unknown>> = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'integer' }, nested: { type: 'object', properties: { n: { type: 'number' } } } },
}

export function contractOf(name: string, changes: Partial<Contract> = {}): Contract {
  return {
    name,
    description: `Events of ${name}`,
    owner: 'team@example.com',
    key: [],
    eventId: null,
    eventTime: null,
    ingest: [{ kind: 'events', auth: 'none' }],
    validateAtIngest: false,
    raw: { partitions: 6, retentionMs: 604_800_000 },
    refine: {
      schema: 'refined.avsc',
      guarantee: 'at-least-once',
      dedupeWindowMs: 604_800_000,
      joins: [],
      cleanup: 'delete',
      retentionMs: 604_800_000,
    },
    lake: { bronze: { format: 'parquet' }, silver: { format: 'parquet' } },
    warehouse: { table: name.toUpperCase(), mode: 'append' },
    ...changes,
  }
}

export function streamOf(contract: Contract, rawSchema: IngestStream['rawSchema'] = null): IngestStream {
  return {
    contract,
    bundleHash: 'b1',
    rawTopic: `raw.${contract.name}.v1`,
    partitions: contract.raw.partitions,
    rawSchema,
    sources: {},
    check: contract.validateAtIngest && rawSchema ? compileEventCheck(rawSchema) : null,
  }
}

const GITHUB: Ingest = { kind: 'webhook', provider: 'github', secrets: ['env:OLD', 'env:NEW'] }
export const STREAMS: readonly IngestStream[] = [
  streamOf(contractOf('open')),
  streamOf(contractOf('closed', { ingest: [{ kind: 'events', auth: 'api-key' }] })),
  streamOf(
    contractOf('flights', { key: ['/origin'], eventId: '/id', eventTime: { at: '/at', format: null, zone: 'UTC' } }),
  ),
  streamOf(contractOf('github', { key: ['/repository/full_name', '/zen'], ingest: [GITHUB] })),
  streamOf(contractOf('checked', { validateAtIngest: true }), RAW_SCHEMA),
]

export function directoryOf(streams: readonly IngestStream[]): StreamDirectory {
  return {
    streams: () => streams,
    find: (name) => {
      const stream = streams.find((s) => s.contract.name === name)
      return stream ? { kind: 'found', stream } : { kind: 'missing' }
    },
  }
}

export type Written = { readonly topic: string; readonly record: RecordToSend; readonly offset: number }
export type ProducerDouble = Producer & {
  readonly written: Written[]
  fail(next: (topic: string, records: readonly RecordToSend[]) => Error | null | 'never'): void
}

/** Keeps what is sent; `fail` decides per send whether it breaks, or never answers. */
export function producerDouble(): ProducerDouble {
  const written: Written[] = []
  const next = new Map<string, number>()
  let failing: Parameters<ProducerDouble['fail']>[0] = () => null
  return {
    written,
    fail(decide) {
      failing = decide
    },
    async send(topic, records) {
      const failure = failing(topic, records)
      if (failure === 'never') return new Promise(() => {})
      if (failure !== null) throw failure
      return records.map((record) => {
        const lane = `${topic}/${record.partition}`
        const offset = next.get(lane) ?? 0
        next.set(lane, offset + 1)
        written.push({ topic, record, offset })
        return offset
      })
    },
    close: async () => {},
  }
}

export const kafkaDown = (): MeshError => new MeshError('MESH_KAFKA_UNAVAILABLE', 'the broker went away')

export type GatewayDouble = {
  readonly app: FastifyInstance
  readonly producer: ProducerDouble
  readonly admission: Admission
  readonly metrics: Telemetry
  readonly secrets: Map<string, string>
  start(): Promise<string>
}

type LimitName = keyof IngestGatewayOptions['config'] | 'requestTimeoutMs'
export const LIMITS: Readonly<Record<LimitName, number>> = {
  maxBodyBytes: 20_000,
  maxEventBytes: 5000,
  maxWebhookBytes: 20_000,
  maxEventsPerRequest: 50,
  requestTimeoutMs: 5000,
  produceTimeoutMs: 5000,
  retryAfterMs: 5000,
}

/** The gateway as main.ts wires it, over a producer double. */
export function gatewayDouble(
  options: {
    limits?: Partial<Record<LimitName, number>>
    maxInFlightBytes?: number
    directory?: StreamDirectory
    producer?: Producer | null
  } = {},
): GatewayDouble {
  const config = { ...LIMITS, ...options.limits }
  const producer = producerDouble()
  const admission = createAdmission(options.maxInFlightBytes ?? 10_000_000)
  const metrics = createTelemetry('ingest-gateway')
  const directory = options.directory ?? directoryOf(STREAMS)
  const secrets = new Map([['env:NEW', WEBHOOK_SECRET]])
  let ids = 0
  const to = options.producer === undefined ? producer : options.producer
  const gateway = createIngestGateway({
    config,
    apiKeys: readApiKeys([`alice:${API_KEY}`, 'bob:k-2:with-colon']),
    admission,
    directory,
    writer: createRawWriter(() => to),
    readSecret: async (reference) => secrets.get(reference) ?? null,
    telemetry: createGatewayTelemetry(metrics, SILENT_LOGGER, admission.inFlightBytes),
    now: () => RECEIVED_AT,
    freshId: () => `fresh-${ids++}`,
  })
  const server = createHttpServer({
    host: '127.0.0.1',
    port: 0,
    telemetry: metrics,
    logger: SILENT_LOGGER,
    readiness: () => ({ ready: true, detail: {} }),
    routes: gatewayRoutes({ gateway, directory, config }),
  })
  return {
    app: server.app,
    producer,
    admission,
    metrics,
    secrets,
    async start() {
      await server.start()
      return server.address()
    },
  }
}

export const sign = (body: string | Uint8Array, secret: string = WEBHOOK_SECRET): string =>
  `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`

export const valueText = (written: Written): string => Buffer.from(written.record.value ?? []).toString('utf8')
export const keyText = (written: Written): string => Buffer.from(written.record.key ?? []).toString('utf8')
export const headersOf = (written: Written): Record<string, string | null> =>
  Object.fromEntries(written.record.headers.map((h) => [h.name, headerText(written.record.headers, h.name)]))
