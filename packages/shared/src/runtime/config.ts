import { MeshError } from '../core/errors.ts'

/** Kinds of settings; durations are given as `500ms`, `10s`, `5m`, `12h`, `7d` and arrive in milliseconds. */
type Kinds = { string: string; integer: number; boolean: boolean; list: readonly string[]; duration: number }

export type Setting<K extends keyof Kinds = keyof Kinds> = {
  readonly env: string
  readonly kind: K
  readonly doc: string
  /** In the kind's own type; durations in ms. Without a default the setting is required. */
  readonly default?: Kinds[K] | null
  readonly min?: number
  readonly max?: number
  /** Never shown in logs or docs output. */
  readonly secret?: boolean
}

export type ConfigSchema = Readonly<Record<string, Setting>>

/** The values of a schema: `default: null` makes a setting optional. */
export type ConfigOf<S extends ConfigSchema> = {
  readonly [N in keyof S]: S[N] extends { readonly kind: infer K extends keyof Kinds }
    ? S[N] extends { readonly default: null }
      ? Kinds[K] | null
      : Kinds[K]
    : never
}

/** Settings that mean the same in every service: addresses of the shared parts and the service's own HTTP server. */
export const COMMON_CONFIG = {
  kafkaBrokers: {
    env: 'MESH_KAFKA_BROKERS',
    kind: 'list',
    doc: 'Kafka bootstrap addresses, host:port, comma separated.',
  },
  kafkaProducer: {
    env: 'MESH_KAFKA_PRODUCER',
    kind: 'string',
    default: 'platformatic',
    doc: 'Client that writes outside transactions: platformatic (faster) or kafkajs.',
  },
  httpHost: { env: 'MESH_HTTP_HOST', kind: 'string', default: '127.0.0.1', doc: 'Address the HTTP server listens on.' },
  httpPort: {
    env: 'MESH_HTTP_PORT',
    kind: 'integer',
    min: 0,
    max: 65535,
    doc: 'Port of the HTTP server; 0 picks a free one.',
  },
  logLevel: {
    env: 'MESH_LOG_LEVEL',
    kind: 'string',
    default: 'info',
    doc: 'trace, debug, info, warn, error or silent.',
  },
} as const

export const REGISTRY_CONFIG = {
  registryUrl: { env: 'MESH_REGISTRY_URL', kind: 'string', doc: 'Base URL of the schema registry (Confluent API).' },
} as const

export const LAKE_CONFIG = {
  lakeUrl: {
    env: 'MESH_LAKE_URL',
    kind: 'string',
    doc: 'Object store: file:///absolute/folder or s3://bucket/prefix.',
  },
  s3Endpoint: { env: 'MESH_S3_ENDPOINT', kind: 'string', default: null, doc: 'S3 endpoint when it is not AWS.' },
  s3Region: { env: 'MESH_S3_REGION', kind: 'string', default: 'us-east-1', doc: 'S3 region.' },
  s3AccessKeyId: {
    env: 'MESH_S3_ACCESS_KEY_ID',
    kind: 'string',
    default: null,
    secret: true,
    doc: 'S3 access key id; the SDK chain when absent.',
  },
  s3SecretAccessKey: {
    env: 'MESH_S3_SECRET_ACCESS_KEY',
    kind: 'string',
    default: null,
    secret: true,
    doc: 'S3 secret access key.',
  },
} as const

/** Where a service may connect to on a contract's word. */
export const OUTBOUND_CONFIG = {
  outboundAllowedCidrs: {
    env: 'MESH_OUTBOUND_ALLOWED_CIDRS',
    kind: 'list',
    default: [],
    doc: 'Networks that contracts may name although they are not public, e.g. 10.1.0.0/16,127.0.0.0/8.',
  },
  outboundPorts: {
    env: 'MESH_OUTBOUND_PORTS',
    kind: 'list',
    default: ['80', '443'],
    doc: 'Ports that contracts may name.',
  },
} as const

export const STATE_CONFIG = {
  stateDir: { env: 'MESH_STATE_DIR', kind: 'string', doc: 'Folder for caches that may be lost.' },
} as const

/**
 * Reads and checks all settings at once.
 * @param prefix the service's own prefix (`MESH_LAKE_SINK_`): a variable under it that no setting names is refused.
 * @throws MeshError MESH_CONFIG_INVALID | MESH_CONFIG_UNKNOWN, naming every wrong setting in one message.
 */
export function loadConfig<S extends ConfigSchema>(
  schema: S,
  env: Readonly<Record<string, string | undefined>>,
  prefix: string,
): ConfigOf<S> {
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  for (const [name, setting] of Object.entries(schema)) {
    const text = env[setting.env]
    if (text === undefined || text === '') {
      if (setting.default === undefined) problems.push(`${setting.env} is required: ${setting.doc}`)
      else values[name] = setting.default
      continue
    }
    try {
      values[name] = parseSetting(setting, text)
    } catch (error) {
      problems.push(`${setting.env}=${setting.secret ? '***' : text}: ${(error as Error).message}`)
    }
  }
  if (problems.length > 0) throw new MeshError('MESH_CONFIG_INVALID', problems.join('; '))
  const known = new Set(Object.values(schema).map((s) => s.env))
  const unknown = Object.keys(env).filter((key) => key.startsWith(prefix) && !known.has(key))
  if (unknown.length > 0) {
    throw new MeshError(
      'MESH_CONFIG_UNKNOWN',
      unknown.map((key) => `${key} (did you mean ${nearest(key, [...known])}?)`).join('; '),
    )
  }
  return values as ConfigOf<S>
}

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

function parseSetting(setting: Setting, text: string): unknown {
  switch (setting.kind) {
    case 'string':
      return text
    case 'list':
      return text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '')
    case 'boolean':
      if (text === 'true' || text === '1') return true
      if (text === 'false' || text === '0') return false
      throw new Error('expected true or false')
    case 'integer': {
      const n = Number(text)
      if (!Number.isSafeInteger(n)) throw new Error('expected a whole number')
      return bounded(setting, n)
    }
    case 'duration': {
      const match = /^(\d+)(ms|s|m|h|d)$/.exec(text)
      if (!match) throw new Error('expected a duration such as 500ms, 10s, 5m, 12h or 7d')
      return bounded(setting, Number(match[1]) * DURATION_UNITS[match[2]!]!)
    }
  }
}

function bounded(setting: Setting, n: number): number {
  if (setting.min !== undefined && n < setting.min) throw new Error(`expected at least ${setting.min}`)
  if (setting.max !== undefined && n > setting.max) throw new Error(`expected at most ${setting.max}`)
  return n
}

/** The candidate with the smallest edit distance, for "did you mean". */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  let best: string | undefined
  let bestDistance = Number.POSITIVE_INFINITY
  for (const candidate of candidates) {
    const d = editDistance(word, candidate)
    if (d < bestDistance) [best, bestDistance] = [candidate, d]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      row.push(Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    }
    previous = row
  }
  return previous[b.length]!
}
