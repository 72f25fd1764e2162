import type { RetryPolicy } from '@mesh/shared/core/retry-policy'
import { httpCall } from './http-call.ts'

const TIMEOUT_MS = 15_000

export const RECEIVER_RETRY: RetryPolicy = {
  initialMs: 500,
  maxMs: 60_000,
  factor: 2,
  retries: Number.POSITIVE_INFINITY,
}

/** `refused`: the receiver will never take this event. `away`: it may later. */
export type Delivery =
  | { readonly outcome: 'delivered' }
  | { readonly outcome: 'refused' | 'away'; readonly reason: string }

export type LineageReceiver = (event: string) => Promise<Delivery>

/** An OpenLineage receiver: one POST per event to the address as it is configured. @param apiKey a bearer token, or null */
export function createLineageReceiver(url: string, apiKey: string | null): LineageReceiver {
  const headers = {
    'content-type': 'application/json',
    ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
  }
  return async function deliver(body) {
    try {
      const { ok, status } = await httpCall(url, { method: 'POST', headers, body, timeoutMs: TIMEOUT_MS })
      if (ok) return { outcome: 'delivered' }
      // 400 and 422 speak of the event; whatever else is wrong (address, sign-in, load) a person or time puts right.
      const outcome = status === 400 || status === 413 || status === 422 ? 'refused' : 'away'
      return { outcome, reason: `it answers ${status}` }
    } catch (error) {
      return { outcome: 'away', reason: error instanceof Error ? error.message : String(error) }
    }
  }
}
