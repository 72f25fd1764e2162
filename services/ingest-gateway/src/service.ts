import { setImmediate } from 'node:timers/promises'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { header, type RecordHeader } from '@mesh/shared/core/record'
import { type Admission, EVENT_OVERHEAD_BYTES, type Lease, takeLease } from './core/admission.ts'
import { admitEvents, findStream, webhookOf } from './core/admit.ts'
import { type Answer, answerError, answerEvents, type EventOutcome } from './core/answer.ts'
import type { ApiKey } from './core/api-keys.ts'
import { type BuiltRecord, buildRecord, type RecordContext } from './core/build-record.ts'
import {
  type EventAttributes,
  readEventAttributes,
  readIdempotencyKey,
  readTraceparent,
} from './core/event-attributes.ts'
import { githubAttributes, githubHeaders } from './core/github-delivery.ts'
import { readGithubSignature, verifyGithubSignature } from './core/github-signature.ts'
import { bodyForm, isGzip } from './core/media-type.ts'
import type { IngestStream, RawWriter, ReadSecret, RequestHeaders, StreamDirectory } from './core/ports.ts'
import { type EventList, readEvents, readWebhook } from './core/read-request.ts'
import type { GatewayTelemetry } from './telemetry.ts'

export type ReadBody = (options: { maxBytes: number; gzip: boolean; lease: Lease }) => Promise<Uint8Array>
export type IngestRequest = { readonly stream: string; readonly headers: RequestHeaders; readonly readBody: ReadBody }

/** Never reject: every failure is an answer. */
export type IngestGateway = {
  postEvents(request: IngestRequest): Promise<Answer>
  takeWebhook(request: IngestRequest): Promise<Answer>
}

export type IngestGatewayOptions = {
  readonly config: {
    readonly maxBodyBytes: number
    readonly maxEventBytes: number
    readonly maxWebhookBytes: number
    readonly maxEventsPerRequest: number
    readonly produceTimeoutMs: number
    readonly retryAfterMs: number
  }
  readonly apiKeys: readonly ApiKey[]
  readonly admission: Admission
  readonly directory: StreamDirectory
  readonly writer: RawWriter
  readonly readSecret: ReadSecret
  readonly telemetry: GatewayTelemetry
  /** Epoch ms. */
  readonly now: () => number
  /** A UUIDv7. */
  readonly freshId: () => string
}

/** A large batch lets other requests and health checks run this often. */
const TURN_MS = 10

type Built = { readonly built: readonly BuiltRecord[]; readonly rejected: readonly EventOutcome[] }
type Accepting = {
  readonly stream: IngestStream
  readonly principal: string
  readonly list: EventList
  readonly attributes: EventAttributes
  readonly idFor: (index: number) => string
  readonly kept: readonly RecordHeader[]
  readonly lease: Lease
}

/** One request, from its headers to its answer: admit → read → split → build → write → answer. */
export function createIngestGateway(options: IngestGatewayOptions): IngestGateway {
  const { config, telemetry } = options

  async function postEvents(request: IngestRequest): Promise<Answer> {
    return answering(request, async (stream, lease) => {
      const { headers } = request
      const principal = admitEvents(stream, headers, options.apiKeys)
      const form = bodyForm(headers['content-type'])
      const gzip = isGzip(headers['content-encoding'])
      const attributes = readEventAttributes(headers)
      const body = await request.readBody({ maxBytes: config.maxBodyBytes, gzip, lease })
      const list = readEvents(body, form, {
        maxEvents: config.maxEventsPerRequest,
        maxEventBytes: config.maxEventBytes,
      })
      if (attributes.id !== null && list.events.length > 1) {
        throw new MeshError('MESH_EVENT_CLOUDEVENTS', 'ce-id names one event, and the body holds several')
      }
      const key = readIdempotencyKey(headers)
      const idFor = (index: number): string =>
        key === null ? options.freshId() : list.isBatch ? `${key}/${index}` : key
      return accept({ stream, principal, list, attributes, idFor, kept: keptHeaders(headers), lease })
    })
  }

  async function takeWebhook(request: IngestRequest): Promise<Answer> {
    return answering(request, async (stream, lease) => {
      const { headers } = request
      const webhook = webhookOf(stream)
      const signature = headers['x-hub-signature-256']
      readGithubSignature(signature)
      if (isGzip(headers['content-encoding'])) {
        throw new MeshError('MESH_BODY_COMPRESSION', 'a signed delivery is taken only as it was signed, uncompressed')
      }
      const body = await request.readBody({ maxBytes: config.maxWebhookBytes, gzip: false, lease })
      verifyGithubSignature(body, signature, await readSecrets(webhook.secrets))
      if (bodyForm(headers['content-type']) !== 'json') {
        throw new MeshError('MESH_BODY_MEDIA_TYPE', 'a delivery is application/json: choose it in the webhook settings')
      }
      const { list, event } = readWebhook(body)
      const kept = [...githubHeaders(headers), ...keptHeaders(headers)]
      const attributes = githubAttributes(headers, event)
      return accept({ stream, principal: 'github', list, attributes, idFor: options.freshId, kept, lease })
    })
  }

  async function answering(
    request: IngestRequest,
    handle: (stream: IngestStream, lease: Lease) => Promise<Answer>,
  ): Promise<Answer> {
    const lease = takeLease(options.admission)
    let label = '-'
    try {
      const stream = findStream(options.directory, request.stream)
      label = stream.contract.name
      if (!options.admission.isOpen()) throw overloaded()
      return await handle(stream, lease)
    } catch (error) {
      lease.release()
      if (!isMeshError(error)) telemetry.defect(error)
      const told = isMeshError(error) ? error : new MeshError('MESH_INTERNAL', 'internal error')
      telemetry.rejected(label, told, 1)
      return answerError(told, config.retryAfterMs)
    }
  }

  /** Builds and writes what is good. The lease lives until Kafka has said everything, also when the answer could not wait. */
  async function accept(accepting: Accepting): Promise<Answer> {
    const { stream, list, lease } = accepting
    if (!lease.grow(list.events.length * EVENT_OVERHEAD_BYTES)) throw overloaded()
    const { built, rejected } = await buildAll(accepting)
    if (built.length === 0) {
      lease.release()
      return settle(accepting, rejected)
    }
    const begun = performance.now()
    const records = built.map((b) => b.record)
    const write = options.writer.write(stream.rawTopic, records)
    const released = write.done.then(() => lease.release())
    await withDeadline(released, config.produceTimeoutMs)
    telemetry.produced((performance.now() - begun) / 1000)
    const written = built.map((b, i) => outcomeOf(b, stream.rawTopic, write.outcomes[i] ?? null))
    return settle(
      accepting,
      [...rejected, ...written].sort((a, b) => a.index - b.index),
    )
  }

  async function buildAll({ stream, list, attributes, idFor, kept }: Accepting): Promise<Built> {
    const { contract, partitions, check } = stream
    const context: RecordContext = { contract, partitions, check, attributes, idFor, kept, receivedAt: options.now() }
    const built: BuiltRecord[] = []
    const rejected: EventOutcome[] = []
    let turnBegan = performance.now()
    for (const event of list.events) {
      if (performance.now() - turnBegan > TURN_MS) {
        await setImmediate()
        turnBegan = performance.now()
      }
      try {
        if (event.error) throw event.error
        const record = buildRecord(event.index, event.bytes, context)
        if (record.timeUnreadable) telemetry.eventTimeUnreadable(contract.name)
        built.push(record)
      } catch (error) {
        if (!isMeshError(error)) throw error
        rejected.push({ kind: 'rejected', index: event.index, error })
      }
    }
    return { built, rejected }
  }

  function settle({ stream, principal, list }: Accepting, outcomes: readonly EventOutcome[]): Answer {
    const name = stream.contract.name
    let accepted = 0
    let bytes = 0
    let unknown = 0
    for (const outcome of outcomes) {
      if (outcome.kind === 'rejected') telemetry.rejected(name, outcome.error, 1)
      else if (outcome.kind === 'unknown') unknown++
      else {
        accepted++
        bytes += list.events[outcome.index]?.bytes?.byteLength ?? 0
      }
    }
    if (accepted > 0) telemetry.accepted(name, principal, accepted, bytes)
    if (unknown > 0) telemetry.unknown(name, unknown)
    return answerEvents(outcomes, config.retryAfterMs)
  }

  async function readSecrets(references: readonly string[]): Promise<readonly string[]> {
    const secrets = await Promise.all(references.map(options.readSecret))
    return secrets.filter((secret) => secret !== null)
  }

  return { postEvents, takeWebhook }
}

const overloaded = (): MeshError =>
  new MeshError('MESH_GATEWAY_OVERLOADED', 'the gateway holds as many bytes as it may')

function keptHeaders(headers: RequestHeaders): RecordHeader[] {
  const traceparent = readTraceparent(headers)
  return traceparent === null ? [] : [header('traceparent', traceparent)]
}

function outcomeOf(
  built: BuiltRecord,
  topic: string,
  outcome: { offset: number } | { error: MeshError } | null,
): EventOutcome {
  const { index, eventId, record } = built
  if (outcome === null) {
    const error = new MeshError(
      'MESH_KAFKA_UNAVAILABLE',
      'Kafka has not acknowledged the event in time: it may be there or not, the same ids may be sent again',
    )
    return { kind: 'unknown', index, eventId, error }
  }
  if ('offset' in outcome) {
    return { kind: 'accepted', index, eventId, topic, partition: record.partition, offset: outcome.offset }
  }
  return outcome.error.status === 503
    ? { kind: 'unknown', index, eventId, error: outcome.error }
    : { kind: 'rejected', index, error: outcome.error }
}

/** Resolves when the work is done or the time is over, whichever is first. */
async function withDeadline(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, deadline])
  clearTimeout(timer)
}
