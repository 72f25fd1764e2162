import { MeshError } from '@mesh/shared/core/errors'
import { skipSpace } from '@mesh/shared/core/json-scan'
import { jsonSlices, ndjsonLines } from '@mesh/shared/core/json-slices'
import { byteOrderMark, parseJson } from '@mesh/shared/core/json-text'
import type { BodyForm } from './media-type.ts'

/** One event of a request: its exact bytes (a view of the body), or why it is refused. `index` counts events from 0. */
export type RequestEvent =
  | { readonly index: number; readonly bytes: Uint8Array; readonly error: null }
  | { readonly index: number; readonly bytes: null; readonly error: MeshError }

export type EventList = {
  /** A JSON array or NDJSON, whatever its length: ids come as `<Idempotency-Key>/<index>`. */
  readonly isBatch: boolean
  readonly events: readonly RequestEvent[]
}

export type EventLimits = { readonly maxEvents: number; readonly maxEventBytes: number }

const OPEN_ARRAY = 0x5b

/**
 * Splits a body into its events. A JSON body is taken as a whole or not at all; NDJSON lines stand for themselves.
 * @throws MeshError MESH_BODY_EMPTY, MESH_BODY_ENCODING, MESH_BODY_TOO_MANY, MESH_EVENT_JSON.
 */
export function readEvents(body: Uint8Array, form: BodyForm, limits: EventLimits): EventList {
  if (form === 'ndjson') {
    const events = ndjsonLines(body, limits.maxEvents).map(
      (line, index): RequestEvent =>
        line.error
          ? { index, bytes: null, error: line.error }
          : sizedEvent(index, line.bytes, limits, `line ${line.line}`),
    )
    return { isBatch: true, events }
  }
  const slices = jsonSlices(body, limits.maxEvents)
  if (slices.length === 0) throw new MeshError('MESH_BODY_EMPTY', 'the array holds no event')
  const isBatch = body[skipSpace(body, byteOrderMark(body))] === OPEN_ARRAY
  const events = slices.map((bytes, index) =>
    sizedEvent(index, bytes, limits, isBatch ? `element ${index}` : undefined),
  )
  return { isBatch, events }
}

/**
 * A webhook's body: one event, kept whole so that its signature can be checked again from the raw topic.
 * @throws MeshError MESH_BODY_EMPTY, MESH_BODY_ENCODING, MESH_EVENT_JSON.
 */
export function readWebhook(body: Uint8Array): { readonly list: EventList; readonly event: unknown } {
  if (body.byteLength === 0) throw new MeshError('MESH_BODY_EMPTY', 'the delivery has no body')
  const event = parseJson(body)
  return { list: { isBatch: false, events: [{ index: 0, bytes: body, error: null }] }, event }
}

function sizedEvent(index: number, bytes: Uint8Array, limits: EventLimits, place: string | undefined): RequestEvent {
  if (bytes.byteLength <= limits.maxEventBytes) return { index, bytes, error: null }
  const text = `the event has ${bytes.byteLength} bytes, at most ${limits.maxEventBytes} are taken`
  return {
    index,
    bytes: null,
    error: new MeshError('MESH_EVENT_TOO_LARGE', text, place === undefined ? {} : { place }),
  }
}
