import { parseDuration } from '../core/duration.ts'
import type { HttpAuth, Source } from '../core/source.ts'

type Json = Readonly<Record<string, unknown>>

const HEARTBEAT_MS = 10_000
const TIMEOUT_MS = 30_000
const MAX_BYTES = 16_777_216

/** Fills the defaults in. `raw` has passed sources.schema.json. */
export function buildSource(raw: Json): Source {
  const optional = (key: string): string | null => {
    const value = raw[key]
    return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : null
  }
  const text = (key: string, otherwise = ''): string => optional(key) ?? otherwise
  const duration = (key: string, otherwise: number): number =>
    (typeof raw[key] === 'string' ? parseDuration(raw[key]) : null) ?? otherwise
  const ca = optional('ca')
  const [cert, key] = [optional('cert'), optional('key')]
  const trusted = {
    ...(ca === null ? {} : { ca }),
    ...(cert === null || key === null ? {} : { cert, key }),
  }
  const named = { name: text('name'), description: text('description'), owner: text('owner') }
  switch (raw['kind'] as Source['kind']) {
    case 'postgres':
      return {
        ...named,
        kind: 'postgres',
        host: text('host'),
        port: text('port', '5432'),
        database: text('database'),
        user: text('user'),
        password: optional('password'),
        ssl: text('ssl', 'prefer') as 'prefer',
        ...trusted,
        publication: text('publication', 'managed') as 'managed',
        signalSchema: text('signalSchema', 'mesh'),
        snapshot: text('snapshot', 'initial') as 'initial',
        heartbeatMs: duration('heartbeat', HEARTBEAT_MS),
      }
    case 'mongodb':
      return {
        ...named,
        kind: 'mongodb',
        url: text('url'),
        reader: text('reader', 'driver') as 'driver',
        snapshot: text('snapshot', 'initial') as 'initial',
        updates: text('updates', 'lookup') as 'lookup',
        oversize: text('oversize', 'fail') as 'fail',
        heartbeatMs: duration('heartbeat', HEARTBEAT_MS),
      }
    case 'connect':
      return {
        ...named,
        kind: 'connect',
        config: Object.fromEntries(Object.entries(raw['config'] as Json).map(([key, value]) => [key, String(value)])),
      }
    case 'redis':
      return {
        ...named,
        kind: 'redis',
        host: text('host'),
        port: text('port', '6379'),
        user: optional('user'),
        password: optional('password'),
        tls: raw['tls'] === true,
        ...trusted,
        database: Number(raw['database'] ?? 0),
      }
    case 'http': {
      const limits = (raw['limits'] ?? {}) as { requestsPerMinute?: number; concurrency?: number }
      return {
        ...named,
        kind: 'http',
        url: text('url'),
        ...trusted,
        auth: buildAuth(raw['auth'] as Json | undefined),
        headers: (raw['headers'] ?? {}) as Readonly<Record<string, string>>,
        timeoutMs: duration('timeout', TIMEOUT_MS),
        maxBytes: Number(raw['maxBytes'] ?? MAX_BYTES),
        limits: { requestsPerMinute: limits.requestsPerMinute ?? null, concurrency: limits.concurrency ?? 1 },
      }
    }
    case 'kafka': {
      const sasl = raw['sasl'] as { mechanism: 'plain'; user: string; password: string } | undefined
      const registry = raw['registry'] as { url: string; user?: string; password?: string } | undefined
      return {
        ...named,
        kind: 'kafka',
        brokers: text('brokers'),
        tls: raw['tls'] === true,
        ...trusted,
        sasl: sasl ?? null,
        registry: registry
          ? { url: registry.url, user: registry.user ?? null, password: registry.password ?? null }
          : null,
      }
    }
  }
}

function buildAuth(raw: Json | undefined): HttpAuth | null {
  if (raw === undefined) return null
  if (typeof raw['bearer'] === 'string') return { type: 'bearer', token: raw['bearer'] }
  if ('basic' in raw) return { type: 'basic', ...(raw['basic'] as { user: string; password: string }) }
  if ('query' in raw) return { type: 'query', ...(raw['query'] as { name: string; value: string }) }
  if ('oauth2' in raw) {
    const given = raw['oauth2'] as { tokenUrl: string; clientId: string; clientSecret: string; scope?: string }
    return { type: 'oauth2', ...given, scope: given.scope ?? null }
  }
  return { type: 'header', ...(raw['header'] as { name: string; value: string }) }
}
