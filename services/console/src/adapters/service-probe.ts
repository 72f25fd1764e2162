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
    if (response.ok) return { name, url, state: 'ready', detail: sourcesInTrouble(text) }
    return { name, url, state: 'unready', detail: text.slice(0, MAX_DETAIL) }
  } catch (error) {
    return { name, url, state: 'down', detail: describeError(error).slice(0, MAX_DETAIL) }
  }
}

type Connectors = Readonly<Record<string, { readonly state: string; readonly problems: readonly string[] }>>

/** A gateway is ready while a database that it looks after is not: its own words of those that do not run; null when all do. */
function sourcesInTrouble(readiness: string): string | null {
  let connectors: Connectors | undefined
  try {
    connectors = (JSON.parse(readiness) as { connectors?: Connectors }).connectors
  } catch {
    return null // a service of another kind, which is ready all the same
  }
  const told = Object.entries(connectors ?? {}).flatMap(([source, { state, problems }]) =>
    problems.length === 0 ? [] : [`source ${source} ${state}: ${problems.join('; ')}`],
  )
  return told.length === 0 ? null : told.join('. ').slice(0, MAX_DETAIL)
}

const MAX_DETAIL = 300
