import { ERRORS, type ErrorCode } from '@mesh/shared/core/error-codes'
import type { MeshError } from '@mesh/shared/core/errors'

/** What became of one event. `unknown`: Kafka has not said whether it is there, so the same id may be sent again. */
export type EventOutcome =
  | {
      readonly kind: 'accepted'
      readonly index: number
      readonly eventId: string
      readonly topic: string
      readonly partition: number
      readonly offset: number
    }
  | { readonly kind: 'rejected'; readonly index: number; readonly error: MeshError }
  | { readonly kind: 'unknown'; readonly index: number; readonly eventId: string; readonly error: MeshError }

/** An HTTP answer before any HTTP library. */
export type Answer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: unknown
}

/**
 * 200 when every event is in Kafka, 207 when some are and the others were refused, 4xx when none was good, 503 as soon as one
 * outcome is unknown: a caller that only looks at the status must never take a lost event for a stored one (invariant I5).
 */
export function answerEvents(outcomes: readonly EventOutcome[], retryAfterMs: number): Answer {
  const receipts = outcomes.map(receiptOf)
  const unknown = outcomes.find((o) => o.kind === 'unknown')
  if (unknown) {
    return answerWith(503, { ...errorBody(unknown.error), receipts }, unavailable(503, retryAfterMs))
  }
  const refused = outcomes.flatMap((o) => (o.kind === 'rejected' ? [o.error] : []))
  if (refused.length === 0) return answerWith(200, { receipts })
  if (refused.length < outcomes.length) return answerWith(207, { receipts })
  const status = refused.every((e) => e.status === refused[0]!.status) ? refused[0]!.status : mixedStatus(refused)
  return answerWith(status, { ...errorBody(refused[0]!), receipts }, unavailable(status, retryAfterMs))
}

/** The answer to a request that was refused as a whole. */
export function answerError(error: MeshError, retryAfterMs: number): Answer {
  return answerWith(error.status, errorBody(error), {
    ...challenge(error.code),
    ...unavailable(error.status, retryAfterMs),
  })
}

function receiptOf(outcome: EventOutcome): Record<string, unknown> {
  const { index } = outcome
  switch (outcome.kind) {
    case 'accepted': {
      const { eventId, topic, partition, offset } = outcome
      return { index, status: 'accepted', eventId, topic, partition, offset }
    }
    case 'rejected':
      return { index, status: 'rejected', ...errorOf(outcome.error) }
    case 'unknown':
      return { index, status: 'unknown', eventId: outcome.eventId, ...errorOf(outcome.error) }
  }
}

const errorOf = (error: MeshError): Record<string, unknown> => ({
  code: error.code,
  message: error.message,
  ...(error.place === undefined ? {} : { place: error.place }),
})

const errorBody = (error: MeshError): Record<string, unknown> => ({ ...errorOf(error), hint: error.hint })

/** Different faults: a server's own comes first, then "cannot be processed", which says no more than it knows. */
const mixedStatus = (errors: readonly MeshError[]): number => (errors.some((e) => e.status >= 500) ? 500 : 422)

const unavailable = (status: number, retryAfterMs: number): Record<string, string> =>
  status === 503 ? { 'retry-after': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) } : {}

const challenge = (code: ErrorCode): Record<string, string> =>
  ERRORS[code].status === 401 && code.startsWith('MESH_AUTH_') ? { 'www-authenticate': 'Bearer realm="mesh"' } : {}

const answerWith = (status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): Answer => ({
  status,
  headers,
  body,
})
