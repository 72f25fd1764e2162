import { describeError } from '@mesh/shared/core/errors'
import type { ServiceHealth } from '../core/snapshot-types.ts'

export type ServiceAddress = { readonly name: string; readonly url: string }

/** Asks each service for its readiness. A service that does not answer in `timeoutMs` is down. */
export function probeServices(services: readonly ServiceAddress[], timeoutMs: number): Promise<ServiceHealth[]> {
  return Promise.all(services.map((service) => probe(service, timeoutMs)))
}

async function probe({ name, url }: ServiceAddress, timeoutMs: number): Promise<ServiceHealth> {
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(timeoutMs) })
    const text = await response.text()
    if (response.ok) return { name, url, state: 'ready', detail: null }
    return { name, url, state: 'unready', detail: text.slice(0, MAX_DETAIL) }
  } catch (error) {
    return { name, url, state: 'down', detail: describeError(error).slice(0, MAX_DETAIL) }
  }
}

const MAX_DETAIL = 300
