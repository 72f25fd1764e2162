import { MeshError } from '@mesh/shared/core/errors'
import { COMMON_CONFIG, type ConfigOf, LAKE_CONFIG, OUTBOUND_CONFIG } from '@mesh/shared/runtime/config'
import { findSecret } from '@mesh/shared/runtime/secrets'
import { EVENT_OVERHEAD_BYTES } from './core/admission.ts'

export const CONFIG_PREFIX = 'MESH_INGEST_GATEWAY_'

const OWN_CONFIG = {
  apiKeys: {
    env: 'MESH_INGEST_GATEWAY_API_KEYS',
    kind: 'list',
    default: [],
    secret: true,
    doc: 'API keys as name:key pairs, comma separated; the name is the principal in metrics. A name may repeat, for rotation.',
  },
  maxBodyBytes: {
    env: 'MESH_INGEST_GATEWAY_MAX_BODY_BYTES',
    kind: 'integer',
    default: 33_554_432,
    min: 1024,
    max: 268_435_456,
    doc: 'Largest request body, as sent and after decompression; a larger one is 413.',
  },
  maxEventBytes: {
    env: 'MESH_INGEST_GATEWAY_MAX_EVENT_BYTES',
    kind: 'integer',
    default: 1_000_000,
    min: 1,
    max: 4_000_000,
    doc: 'Largest single event; a larger one in a batch is refused alone.',
  },
  maxWebhookBytes: {
    env: 'MESH_INGEST_GATEWAY_MAX_WEBHOOK_BYTES',
    kind: 'integer',
    default: 4_000_000,
    min: 1024,
    max: 4_000_000,
    doc: 'Largest webhook body: it is one event, and a raw topic takes records up to 4 MiB.',
  },
  maxEventsPerRequest: {
    env: 'MESH_INGEST_GATEWAY_MAX_EVENTS_PER_REQUEST',
    kind: 'integer',
    default: 20_000,
    min: 1,
    doc: 'Most events in one request; more are 413.',
  },
  maxInFlightBytes: {
    env: 'MESH_INGEST_GATEWAY_MAX_IN_FLIGHT_BYTES',
    kind: 'integer',
    default: 134_217_728,
    min: 65_536,
    doc: 'Bytes held for requests, from the first body byte until Kafka has answered. Above 75 % of it new requests get 503 until it is under 60 %.',
  },
  requestTimeoutMs: {
    env: 'MESH_INGEST_GATEWAY_REQUEST_TIMEOUT',
    kind: 'duration',
    default: 30_000,
    min: 1,
    doc: 'Time in which a whole body must arrive; then 408.',
  },
  produceTimeoutMs: {
    env: 'MESH_INGEST_GATEWAY_PRODUCE_TIMEOUT',
    kind: 'duration',
    default: 20_000,
    min: 1,
    doc: 'Time in which Kafka must acknowledge; then 503 with unknown outcome.',
  },
  connectUrl: {
    env: 'MESH_CONNECT_URL',
    kind: 'string',
    default: null,
    doc: 'REST address of Kafka Connect, which reads the sources of kind postgres and connect.',
  },
  sourceIntervalMs: {
    env: 'MESH_INGEST_GATEWAY_SOURCE_INTERVAL',
    kind: 'duration',
    default: 3000,
    min: 100,
    doc: 'How often the leading gateway compares sources with what the applied streams ask for.',
  },
  auditIntervalMs: {
    env: 'MESH_INGEST_GATEWAY_AUDIT_INTERVAL',
    kind: 'duration',
    default: 3_600_000,
    min: 0,
    doc: 'How often each captured table is compared with its topic; 0 = only by `mesh audit`.',
  },
  retryAfterMs: {
    env: 'MESH_INGEST_GATEWAY_RETRY_AFTER',
    kind: 'duration',
    default: 5000,
    min: 1000,
    doc: 'What Retry-After says on 503.',
  },
} as const

export const CONFIG: typeof COMMON_CONFIG & typeof LAKE_CONFIG & typeof OUTBOUND_CONFIG & typeof OWN_CONFIG = {
  ...COMMON_CONFIG,
  ...LAKE_CONFIG,
  ...OUTBOUND_CONFIG,
  ...OWN_CONFIG,
}

export type Config = ConfigOf<typeof CONFIG>

/** @throws MeshError MESH_CONFIG_INVALID where two settings contradict each other. */
export function checkConfig(
  config: Pick<Config, 'maxBodyBytes' | 'maxEventBytes' | 'maxEventsPerRequest' | 'maxInFlightBytes'>,
): void {
  const largest = config.maxBodyBytes + config.maxEventsPerRequest * EVENT_OVERHEAD_BYTES
  if (config.maxInFlightBytes < largest) {
    throw new MeshError(
      'MESH_CONFIG_INVALID',
      `MESH_INGEST_GATEWAY_MAX_IN_FLIGHT_BYTES must be at least ${largest}, so that the largest request can come in`,
    )
  }
  if (config.maxEventBytes > config.maxBodyBytes) {
    throw new MeshError(
      'MESH_CONFIG_INVALID',
      'MESH_INGEST_GATEWAY_MAX_EVENT_BYTES must not be above MESH_INGEST_GATEWAY_MAX_BODY_BYTES',
    )
  }
}

/** @throws MeshError MESH_CONFIG_INVALID */
export function readPorts({ outboundPorts }: Pick<Config, 'outboundPorts'>): number[] {
  return outboundPorts.map((text) => {
    const port = Number(text)
    if (!Number.isInteger(port) || port < 1 || port > 65_535) {
      throw new MeshError('MESH_CONFIG_INVALID', `MESH_OUTBOUND_PORTS=${text}: expected ports from 1 to 65535`)
    }
    return port
  })
}

/** The text of `env:NAME` or `file:/path`, without a line feed at its end; null where there is nothing (an empty text is nothing). */
export function readSecret(reference: string): Promise<string | null> {
  return findSecret(process.env, reference)
}
