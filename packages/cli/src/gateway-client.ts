import { MeshError } from '@mesh/shared/core/errors'

/** What the gateway says of one event. */
export type Receipt = {
  readonly index: number
  readonly status: string
  readonly eventId?: string
  readonly topic?: string
  readonly partition?: number
  readonly offset?: number
  readonly code?: string
  readonly message?: string
}

export type PostResult = { readonly httpStatus: number; readonly receipts: readonly Receipt[] }

export type GatewayAddress = { readonly url: string; readonly apiKey: string | null }

/** A gateway that was killed on a busy machine takes its time to be back. */
const GIVE_UP_MS = 90_000
const MAX_PAUSE_MS = 2000

/**
 * Posts a body to a stream. A 503 means "outcome unknown, same ids may be sent again": it is retried with the same
 * idempotency key, so the enricher's dedupe makes it exact.
 * @throws MeshError MESH_KAFKA_UNAVAILABLE when the gateway stays away.
 */
export async function postEvents(
  gateway: GatewayAddress,
  stream: string,
  body: string | Uint8Array,
  options: { contentType: string; idempotencyKey: string },
): Promise<PostResult> {
  const headers: Record<string, string> = {
    'content-type': options.contentType,
    'idempotency-key': options.idempotencyKey,
  }
  if (gateway.apiKey) headers['authorization'] = `Bearer ${gateway.apiKey}`
  return sendWithRetry(`${gateway.url}/v1/streams/${encodeURIComponent(stream)}/events`, {
    method: 'POST',
    headers,
    body: body as NonNullable<RequestInit['body']>,
  })
}

/** One HTTP request to the gateway, repeated while it is away or answers 503. */
export async function sendWithRetry(url: string, init: RequestInit): Promise<PostResult> {
  const deadline = Date.now() + GIVE_UP_MS
  let last: unknown = null
  for (let pause = 250; Date.now() < deadline; pause = Math.min(pause * 2, MAX_PAUSE_MS)) {
    if (last !== null) await new Promise((resolve) => setTimeout(resolve, pause))
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.timeout(60_000) })
      const text = await response.text()
      if (response.status === 503) {
        last = new Error(`HTTP 503 ${text.slice(0, 200)}`)
        continue
      }
      return { httpStatus: response.status, receipts: receiptsOf(text, response.status) }
    } catch (error) {
      last = error
    }
  }
  const message = `posting to ${url} failed for ${GIVE_UP_MS / 1000} s`
  throw new MeshError('MESH_KAFKA_UNAVAILABLE', message, { cause: last })
}

function receiptsOf(text: string, status: number): Receipt[] {
  let answer: unknown
  try {
    answer = JSON.parse(text)
  } catch {
    return [{ index: 0, status: 'rejected', code: `HTTP_${status}`, message: text.slice(0, 200) }]
  }
  const body = answer as { receipts?: Receipt[]; code?: string; message?: string }
  if (Array.isArray(body.receipts)) return body.receipts
  return [
    {
      index: 0,
      status: 'rejected',
      ...(body.code ? { code: body.code } : {}),
      ...(body.message ? { message: body.message } : {}),
    },
  ]
}
