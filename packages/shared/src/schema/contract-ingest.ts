import type { Ingest } from '../core/contract.ts'
import { parseDuration } from '../core/duration.ts'
import type { SourceKind } from '../core/source.ts'
import { buildPoll, checkPoll, DEFAULT_MAX_KEYS, POLL_KEYS, type RawPoll } from './contract-poll.ts'
import type { YamlPath } from './contract-yaml.ts'

/** An ingest as stream.schema.json lets it through: any kind with any of the keys. */
export type RawIngest = {
  readonly kind: Ingest['kind']
  readonly auth?: 'api-key' | 'none'
  readonly provider?: 'github'
  readonly secrets?: readonly string[]
  readonly validate?: boolean
  readonly source?: string
  readonly table?: string
  readonly collection?: string
  readonly topic?: string
  readonly stream?: string
  readonly pattern?: string
  readonly field?: string
  readonly from?: 'start' | 'end'
  readonly reconcile?: string
  readonly format?: 'json' | 'registry' | 'bytes'
} & RawPoll

type Report = (path: YamlPath, reason: string) => void
type Keys = {
  readonly needs: readonly string[]
  readonly takes: readonly string[]
  readonly sources: readonly SourceKind[]
}

/** Which keys belong to which kind, and which kinds of source it is pulled from (none: it is pushed). */
const KINDS: Readonly<Record<Ingest['kind'], Keys>> = {
  events: { needs: [], takes: ['auth', 'validate'], sources: [] },
  webhook: { needs: ['provider', 'secrets'], takes: ['validate'], sources: [] },
  cdc: { needs: ['source'], takes: ['table', 'collection'], sources: ['postgres', 'mongodb'] },
  connect: { needs: ['source'], takes: ['topic'], sources: ['connect'] },
  poll: { needs: ['source'], takes: POLL_KEYS, sources: ['http'] },
  'redis-stream': { needs: ['source', 'stream'], takes: ['field', 'from'], sources: ['redis'] },
  'redis-keyspace': { needs: ['source', 'pattern'], takes: ['reconcile', 'maxKeys'], sources: ['redis'] },
  kafka: { needs: ['source', 'topic'], takes: ['format', 'from'], sources: ['kafka'] },
}

const DEFAULT_RECONCILE_MS = 300_000

/** The kinds whose record keys are the source's: such a stream has no other ingest and declares no key of its own. */
export const isKeyedBySource = ({ kind }: { readonly kind: Ingest['kind'] }): boolean =>
  kind === 'cdc' || kind === 'connect'

/** The kinds of source that a kind of ingest is pulled from. */
export const sourceKindsOf = (kind: Ingest['kind']): readonly SourceKind[] => KINDS[kind].sources

export function buildIngest(raw: RawIngest): Ingest {
  const source = raw.source ?? ''
  switch (raw.kind) {
    case 'events':
      return { kind: 'events', auth: raw.auth ?? 'api-key' }
    case 'webhook':
      return { kind: 'webhook', provider: raw.provider ?? 'github', secrets: raw.secrets ?? [] }
    case 'cdc':
      return { kind: 'cdc', source, table: raw.table ?? raw.collection ?? '' }
    case 'connect':
      return { kind: 'connect', source, topic: raw.topic ?? null }
    case 'poll':
      return { kind: 'poll', source, ...buildPoll(raw) }
    case 'redis-stream':
      return {
        kind: 'redis-stream',
        source,
        stream: raw.stream ?? '',
        field: raw.field ?? null,
        from: raw.from ?? 'start',
      }
    case 'redis-keyspace':
      return {
        kind: 'redis-keyspace',
        source,
        pattern: raw.pattern ?? '',
        reconcileMs: (raw.reconcile === undefined ? null : parseDuration(raw.reconcile)) ?? DEFAULT_RECONCILE_MS,
        maxKeys: raw.maxKeys ?? DEFAULT_MAX_KEYS,
      }
    case 'kafka':
      return { kind: 'kafka', source, topic: raw.topic ?? '', format: raw.format ?? 'json', from: raw.from ?? 'start' }
  }
}

/** What the ingests of a contract may not be, alone and together. */
export function checkIngests(
  raw: { readonly ingest: readonly RawIngest[]; readonly key?: unknown; readonly eventId?: unknown },
  report: Report,
): void {
  raw.ingest.forEach((ingest, i) => {
    checkKeys(ingest, ['ingest', i], report)
    if (ingest.kind === 'poll') checkPoll(ingest, raw, (path, reason) => report(['ingest', i, ...path], reason))
  })
  if (raw.ingest.filter((ingest) => ingest.kind === 'webhook').length > 1) {
    report(['ingest'], 'only one ingest of kind webhook can have the path of the stream')
  }
  const owner = raw.ingest.find(isKeyedBySource)
  if (!owner) return
  if (raw.ingest.length > 1) {
    report(['ingest'], `a stream of kind ${owner.kind} has no other ingest: give the others a stream of their own`)
  }
  for (const key of ['key', 'eventId'] as const) {
    if (raw[key] === undefined) continue
    report([key], `\`${key}\` of a stream of kind ${owner.kind} is the source's own (its primary key): remove it`)
  }
}

function checkKeys(ingest: RawIngest, path: YamlPath, report: Report): void {
  const { needs, takes } = KINDS[ingest.kind]
  for (const key of Object.keys(ingest)) {
    if (key === 'kind' || needs.includes(key) || takes.includes(key)) continue
    const owners = Object.entries(KINDS).filter(([, keys]) => keys.needs.includes(key) || keys.takes.includes(key))
    const more = ingest.kind === 'webhook' && key === 'auth' ? '; a webhook is signed' : ''
    report([...path, key], `\`${key}\` belongs to kind ${owners.map(([kind]) => kind).join(' or ')}${more}`)
  }
  for (const key of needs) {
    if (!(key in ingest)) report(path, `kind ${ingest.kind} needs \`${key}\``)
  }
  if (ingest.kind !== 'cdc') return
  // Two words for one thing: what a database calls it.
  if (ingest.table === undefined && ingest.collection === undefined) {
    report(path, 'kind cdc needs `table`, or `collection` of MongoDB')
  }
  if (ingest.table !== undefined && ingest.collection !== undefined) {
    report([...path, 'collection'], '`table` and `collection` are the same: keep one')
  }
}
