import { Buffer, isUtf8 } from 'node:buffer'
import { MeshError } from '@mesh/shared/core/errors'
import { parseInstant } from '@mesh/shared/core/instant'
import type { RequestHeaders } from './ports.ts'

/** CloudEvents context attributes that a request gives for its events; null = not given. */
export type EventAttributes = {
  readonly id: string | null
  readonly type: string | null
  readonly source: string | null
  /** RFC 3339. */
  readonly time: string | null
  /** `subject`, `dataschema` and extensions, in the order of their names. */
  readonly others: readonly (readonly [name: string, value: string])[]
}

export const NO_ATTRIBUTES: EventAttributes = { id: null, type: null, source: null, time: null, others: [] }

const ATTRIBUTE = /^ce-([a-z0-9]{1,40})$/

/**
 * Reads `ce-*` headers of CloudEvents HTTP binary mode (spec 1.0, HTTP binding §3.1). Without any of them the request is plain.
 * @throws MeshError MESH_EVENT_CLOUDEVENTS
 */
export function readEventAttributes(headers: RequestHeaders): EventAttributes {
  const names = Object.keys(headers).filter((name) => name.startsWith('ce-'))
  if (names.length === 0) return NO_ATTRIBUTES
  const values = new Map<string, string>()
  for (const name of names.sort()) {
    const attribute = ATTRIBUTE.exec(name)?.[1]
    if (attribute === undefined) throw refuse(`${name.slice(0, 60)} is not the name of an attribute`)
    values.set(attribute, decodeValue(headers[name] ?? '', name))
  }
  if (values.get('specversion') !== '1.0') throw refuse('ce-specversion is not 1.0')
  if (values.has('datacontenttype')) throw refuse('ce-datacontenttype is not allowed: Content-Type says it')
  for (const required of ['id', 'source', 'type']) {
    if (values.get(required) === '') throw refuse(`ce-${required} is empty`)
  }
  const time = values.get('time') ?? null
  if (time !== null && (parseInstant(time)?.offset ?? null) === null) throw refuse('ce-time is not an RFC 3339 time')
  const known = new Set(['specversion', 'id', 'type', 'source', 'time'])
  return {
    id: values.get('id') ?? null,
    type: values.get('type') ?? null,
    source: values.get('source') ?? null,
    time,
    others: [...values].filter(([name]) => !known.has(name)),
  }
}

/** Un-quotes, then one round of percent-decoding; what comes out must be UTF-8 (HTTP binding §3.1.3.2). */
function decodeValue(value: string, name: string): string {
  const quoted = /^"(.*)"$/s.exec(value)?.[1]
  const text = quoted === undefined ? value : quoted.replaceAll(/\\(.)/gs, '$1')
  const decoded = text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_all, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  const bytes = Buffer.from(decoded, 'latin1')
  if (!isUtf8(bytes)) throw refuse(`${name} is not UTF-8`)
  return bytes.toString('utf8')
}

const refuse = (text: string): MeshError => new MeshError('MESH_EVENT_CLOUDEVENTS', text)

const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/

/** A well-formed W3C `traceparent`, else null. */
export function readTraceparent(headers: RequestHeaders): string | null {
  const value = headers['traceparent']
  return value !== undefined && TRACEPARENT.test(value) ? value : null
}

/** The sender's Idempotency-Key, with or without the quotes of the HTTP draft; null when there is none. */
export function readIdempotencyKey(headers: RequestHeaders): string | null {
  const value = headers['idempotency-key']?.trim().replace(/^"(.*)"$/, '$1')
  return value === undefined || value === '' ? null : value
}
