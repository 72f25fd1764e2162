import { ERRORS, type ErrorCode } from '@mesh/shared/core/error-codes'
import { RECEIPT_SCHEMAS } from './openapi-schemas.ts'
import type { IngestStream } from './ports.ts'

export type OpenApiLimits = {
  readonly maxBodyBytes: number
  readonly maxEventBytes: number
  readonly maxEventsPerRequest: number
}

type Json = Readonly<Record<string, unknown>>

const EVENT_ERRORS: readonly ErrorCode[] = [
  'MESH_BODY_EMPTY',
  'MESH_BODY_ENCODING',
  'MESH_BODY_GZIP',
  'MESH_EVENT_JSON',
  'MESH_EVENT_CLOUDEVENTS',
  'MESH_AUTH_MISSING',
  'MESH_AUTH_INVALID',
  'MESH_STREAM_UNKNOWN',
  'MESH_STREAM_NO_INGEST',
  'MESH_BODY_INCOMPLETE',
  'MESH_BODY_TOO_LARGE',
  'MESH_BODY_TOO_MANY',
  'MESH_EVENT_TOO_LARGE',
  'MESH_KAFKA_RECORD_TOO_LARGE',
  'MESH_BODY_MEDIA_TYPE',
  'MESH_BODY_COMPRESSION',
  'MESH_EVENT_KEY',
  'MESH_EVENT_ID',
  'MESH_EVENT_SCHEMA',
  'MESH_INTERNAL',
  'MESH_GATEWAY_OVERLOADED',
  'MESH_GATEWAY_STARTING',
  'MESH_KAFKA_UNAVAILABLE',
]
const NOT_OF_WEBHOOKS = new Set<ErrorCode>([
  'MESH_AUTH_MISSING',
  'MESH_AUTH_INVALID',
  'MESH_BODY_GZIP',
  'MESH_BODY_TOO_MANY',
  'MESH_EVENT_CLOUDEVENTS',
  'MESH_EVENT_TOO_LARGE',
])
const WEBHOOK_ERRORS: readonly ErrorCode[] = [
  ...EVENT_ERRORS.filter((code) => !NOT_OF_WEBHOOKS.has(code)),
  'MESH_SIGNATURE_MISSING',
  'MESH_SIGNATURE_INVALID',
  'MESH_WEBHOOK_HEADER',
  'MESH_SECRET_MISSING',
]

/** The gateway as an OpenAPI 3.1 document: the routes with their error codes, and one concrete path per stream and ingest. */
export function describeGateway(streams: readonly IngestStream[], limits: OpenApiLimits): Json {
  const paths: Record<string, Json> = {
    '/v1/streams/{stream}/events': {
      parameters: [STREAM_PARAMETER],
      post: eventsOperation('postEvents', 'Post events to a stream', limits, ANY_EVENT, BOTH_AUTH),
    },
    '/webhooks/{stream}': {
      parameters: [STREAM_PARAMETER],
      post: webhookOperation('takeWebhook', 'Deliver a webhook to a stream'),
    },
    '/healthz': { get: plainOperation('health', 'The process lives', ['200']) },
    '/readyz': { get: plainOperation('ready', 'It can take events', ['200', '503']) },
    '/metrics': { get: plainOperation('metrics', 'Prometheus metrics', ['200']) },
    '/openapi.json': { get: plainOperation('openapi', 'This document', ['200']) },
  }
  const schemas: Record<string, Json> = { ...RECEIPT_SCHEMAS }
  for (const stream of streams) {
    const { contract, rawSchema } = stream
    const component = componentName(contract.name)
    if (rawSchema) schemas[component] = { $id: `/schemas/${contract.name}`, ...rawSchema }
    const event = rawSchema ? { $ref: `#/components/schemas/${component}` } : ANY_EVENT
    for (const ingest of contract.ingest) {
      if (ingest.kind === 'events') {
        const auth = ingest.auth === 'none' ? [] : BOTH_AUTH
        const operation = eventsOperation(`post_${component}`, `Post events to ${contract.name}`, limits, event, auth)
        paths[`/v1/streams/${contract.name}/events`] = { post: ofStream(operation, stream) }
      } else if (ingest.kind === 'webhook') {
        const operation = webhookOperation(
          `webhook_${component}`,
          `Deliver a ${ingest.provider} webhook to ${contract.name}`,
        )
        paths[`/webhooks/${contract.name}`] = { post: ofStream(operation, stream) }
      }
    }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Kappa Mesh ingest gateway',
      version: '1',
      description:
        'Takes events over HTTP into raw topics. A 2xx means: acknowledged by all in-sync replicas of Kafka.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: streams.map(({ contract }) => ({ name: contract.name, description: contract.description })),
    paths,
    components: {
      schemas,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer' },
        apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      },
    },
  }
}

const ANY_EVENT: Json = { description: 'Any JSON value.' }
const BOTH_AUTH: readonly Json[] = [{ bearer: [] }, { apiKey: [] }]
const STREAM_PARAMETER: Json = {
  name: 'stream',
  in: 'path',
  required: true,
  schema: { type: 'string', pattern: '^[a-z][a-z0-9-]*$', maxLength: 60 },
}

const componentName = (stream: string): string => `stream_${stream.replaceAll('-', '_')}`

function ofStream(operation: Json, { contract, rawTopic, partitions, check }: IngestStream): Json {
  return {
    ...operation,
    description: `${contract.description}\n\nOwner: ${contract.owner}. Raw topic \`${rawTopic}\`, ${partitions} partitions.`,
    tags: [contract.name],
    'x-mesh-stream': {
      name: contract.name,
      owner: contract.owner,
      rawTopic,
      partitions,
      key: contract.key,
      eventId: contract.eventId,
      eventTime: contract.eventTime,
      validated: check !== null,
    },
  }
}

function eventsOperation(
  operationId: string,
  summary: string,
  limits: OpenApiLimits,
  event: Json,
  security: readonly Json[],
): Json {
  return {
    operationId,
    summary,
    security,
    parameters: [
      headerParameter('Idempotency-Key', 'Id of the event where nothing else gives one; `<key>/<index>` in a batch.'),
      headerParameter('Content-Encoding', 'gzip, or none.'),
      headerParameter('ce-specversion', '1.0 when other ce- headers are sent (CloudEvents binary mode).'),
      headerParameter('ce-id', 'Id of the one event of the request.'),
      headerParameter('ce-type', 'Type of the events.'),
      headerParameter('ce-source', 'Source of the events.'),
      headerParameter('ce-time', 'Event time, RFC 3339.'),
      headerParameter('traceparent', 'W3C trace context, kept on the record.'),
    ],
    requestBody: {
      required: true,
      description: `At most ${limits.maxBodyBytes} bytes, ${limits.maxEventsPerRequest} events, ${limits.maxEventBytes} bytes an event.`,
      content: {
        'application/json': { schema: { anyOf: [event, { type: 'array', items: event, minItems: 1 }] } },
        'application/x-ndjson': { schema: { type: 'string', description: 'One event per line.' } },
        'application/ndjson': { schema: { type: 'string', description: 'One event per line.' } },
      },
    },
    responses: {
      '200': jsonResponse('Every event is in Kafka.', 'Receipts'),
      '207': jsonResponse('Some events are in Kafka, the others were refused.', 'Receipts'),
      ...errorResponses(EVENT_ERRORS),
    },
  }
}

function webhookOperation(operationId: string, summary: string): Json {
  return {
    operationId,
    summary,
    security: [],
    parameters: [
      { ...headerParameter('X-Hub-Signature-256', 'sha256= and the HMAC-SHA256 of the body.'), required: true },
      { ...headerParameter('X-GitHub-Delivery', 'Id of the delivery: the event id.'), required: true },
      { ...headerParameter('X-GitHub-Event', 'Name of the event.'), required: true },
    ],
    requestBody: { required: true, content: { 'application/json': { schema: { type: 'object' } } } },
    responses: { '200': jsonResponse('The delivery is in Kafka.', 'Receipts'), ...errorResponses(WEBHOOK_ERRORS) },
  }
}

/** One response per status, listing its codes with what to do about each. */
function errorResponses(codes: readonly ErrorCode[]): Json {
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of codes) byStatus.set(ERRORS[code].status, [...(byStatus.get(ERRORS[code].status) ?? []), code])
  const responses: Record<string, Json> = {}
  for (const [status, list] of [...byStatus].sort(([a], [b]) => a - b)) {
    const response = jsonResponse(list.map((code) => `\`${code}\`: ${ERRORS[code].hint}`).join('\n\n'), 'Problem')
    const retryAfter = { 'Retry-After': { schema: { type: 'integer' }, description: 'Seconds.' } }
    responses[String(status)] = {
      ...response,
      ...(status === 503 ? { headers: retryAfter } : {}),
      'x-mesh-codes': list,
    }
  }
  return responses
}

const headerParameter = (name: string, description: string): Json => ({
  name,
  in: 'header',
  description,
  schema: { type: 'string' },
})

const jsonResponse = (description: string, schema: string): Json => ({
  description,
  content: { 'application/json': { schema: { $ref: `#/components/schemas/${schema}` } } },
})

function plainOperation(operationId: string, summary: string, statuses: readonly string[]): Json {
  return { operationId, summary, responses: Object.fromEntries(statuses.map((s) => [s, { description: summary }])) }
}
