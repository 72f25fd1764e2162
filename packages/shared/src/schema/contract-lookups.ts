import { compileAddressGuard } from '../core/address-guard.ts'
import type { LookupRule } from '../core/contract.ts'
import { parseDuration } from '../core/duration.ts'
import type { ReportProblem } from './contract-problem.ts'

/** A lookup as stream.schema.json lets it through. */
export type RawLookup = {
  readonly as: string
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly cache?: string
  readonly timeout?: string
  readonly concurrency?: number
  readonly onMissing?: 'null' | 'dead-letter'
  readonly retry?: string
  readonly allow?: readonly string[]
}

const DEFAULTS = { cacheMs: 600_000, timeoutMs: 2000, retryMs: 3_600_000, concurrency: 8 } as const

export function buildLookup(raw: RawLookup): LookupRule {
  return {
    as: raw.as,
    url: raw.url,
    headers: raw.headers ?? {},
    cacheMs: durationOf(raw.cache) ?? DEFAULTS.cacheMs,
    timeoutMs: durationOf(raw.timeout) ?? DEFAULTS.timeoutMs,
    concurrency: raw.concurrency ?? DEFAULTS.concurrency,
    onMissing: raw.onMissing ?? 'null',
    retryMs: durationOf(raw.retry) ?? DEFAULTS.retryMs,
    allow: raw.allow ?? [],
  }
}

/** @param joins names that joins have taken */
export function checkLookups(lookups: readonly RawLookup[], joins: readonly string[], report: ReportProblem): void {
  const names = new Set(joins)
  lookups.forEach((lookup, i) => {
    const path = ['refine', 'lookups', i]
    if (names.has(lookup.as)) report([...path, 'as'], `${lookup.as} is the name of another join or lookup`)
    names.add(lookup.as)
    // The event fills in path and query: it must not choose whom the credentials go to.
    const filled = URL.parse(lookup.url.replace(/\{\/[^{}]*\}/g, '0'))
    const origin = /^https?:\/\/[^/?#{}]+([/?]|$)/.test(lookup.url)
    if (filled === null || !origin)
      report([...path, 'url'], 'url needs http(s)://host[:port]/ without a {pointer} in it')
    else if (filled.username !== '' || filled.password !== '') {
      report([...path, 'url'], 'a url holds no credential: give it as a header from env: or file:')
    }
    if (durationOf(lookup.timeout) === 0) {
      report([...path, 'timeout'], 'timeout must be longer than 0')
    }
    try {
      compileAddressGuard(lookup.allow ?? [])
    } catch (error) {
      report([...path, 'allow'], (error as Error).message)
    }
  })
}

function durationOf(text: string | undefined): number | null {
  return text === undefined ? null : parseDuration(text)
}
