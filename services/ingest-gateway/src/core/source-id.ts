import { createHash } from 'node:crypto'
import type {
  Contract,
  IngestCdc,
  IngestKafka,
  IngestPoll,
  IngestRedisKeyspace,
  IngestRedisStream,
} from '@mesh/shared/core/contract'
import type { Sources } from '@mesh/shared/core/source'

/** The kinds that the gateway pulls by itself. */
export type PulledIngest = IngestPoll | IngestRedisStream | IngestRedisKeyspace | IngestKafka | IngestCdc
export type PulledKind = PulledIngest['kind']

const PULLED: ReadonlySet<string> = new Set<PulledKind>(['poll', 'redis-stream', 'redis-keyspace', 'kafka'])

/** Of what a database changes only MongoDB's change streams are read here, and only where the source says so. */
function isPulled(ingest: Contract['ingest'][number], sources: Sources): boolean {
  if (ingest.kind !== 'cdc') return PULLED.has(ingest.kind)
  const source = sources[ingest.source]
  return source?.kind === 'mongodb' && source.reader === 'driver'
}

/**
 * One ingest of one stream. `id` is the key of its position on `mesh.cursors`: it names what is read, so that an ingest that is
 * pointed to something else begins anew.
 */
export type PulledSource = {
  readonly id: string
  /** For people: `<source>/<stream>`, numbered where there are several. */
  readonly label: string
  readonly ingest: PulledIngest
}

export function pulledSources(
  { name, ingest: ingests }: Pick<Contract, 'name' | 'ingest'>,
  sources: Sources,
): PulledSource[] {
  const found: PulledSource[] = []
  const ids = new Map<string, number>()
  const labels = new Map<string, number>()
  for (const ingest of ingests) {
    if (!isPulled(ingest, sources)) continue
    const pulled = ingest as PulledIngest
    const id = numbered(ids, `${name}/${pulled.source}/${pulled.kind}:${subjectOf(pulled)}`)
    found.push({ id, label: numbered(labels, `${pulled.source}/${name}`), ingest: pulled })
  }
  return found
}

function subjectOf(ingest: PulledIngest): string {
  switch (ingest.kind) {
    case 'poll':
      return ingest.graphql === null ? ingest.path : `${ingest.path} ${digest(ingest.graphql.query)}`
    case 'redis-stream':
      return ingest.stream
    case 'redis-keyspace':
      return ingest.pattern
    case 'kafka':
      return ingest.topic
    case 'cdc':
      return ingest.table
  }
}

/** Consumer group whose owner of partition 0 of `mesh.cursors` reads the ingest, but for polls; and the transactional id of every one. */
export const sourceGroup = (stream: string, id: string): string => `mesh.ingest-gateway.source.${stream}.${digest(id)}`

/** All polls of a source are asked by one gateway: its limits are the server's, and are kept where all requests are known (ADR 0025). */
export const pollsGroup = (source: string): string => `mesh.ingest-gateway.polls.${source}`

/** The parts of a source that are read side by side: partitions of a foreign topic, buckets of a key table. */
export const partKey = (id: string, part: string): string => `${id}#${part}`

function numbered(seen: Map<string, number>, text: string): string {
  const count = (seen.get(text) ?? 0) + 1
  seen.set(text, count)
  return count === 1 ? text : `${text}~${count}`
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12)
