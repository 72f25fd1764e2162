import type { IngestCdc, IngestPull } from '@mesh/shared/core/contract'
import { MeshError } from '@mesh/shared/core/errors'
import type { Source } from '@mesh/shared/core/source'
import type { IngestStream } from '../ports.ts'
import type { DesiredSource, SourceUse } from './source-types.ts'

/** What streams capture, by Kafka Connect or by the gateway's own reader of MongoDB: one table of sources for both. */
export function isCaptured(source: Source): boolean {
  return isByConnect(source) || source.kind === 'mongodb'
}

/** The kinds of ingest whose sources Kafka Connect reads. */
export function isByConnect(source: Source): boolean {
  return (
    source.kind === 'postgres' ||
    source.kind === 'connect' ||
    (source.kind === 'mongodb' && source.reader === 'connect')
  )
}

/**
 * The sources that the live bundles ask for, in order of their names. Where two streams were frozen with different definitions of
 * one source, nothing is guessed: the source has a problem until both are applied again.
 */
export function desiredSources(streams: readonly IngestStream[]): DesiredSource[] {
  const found = new Map<string, { sources: { stream: string; source: Source }[]; uses: SourceUse[] }>()
  for (const { contract, rawTopic, sources } of streams) {
    for (const ingest of contract.ingest) {
      const source = 'source' in ingest ? sources[ingest.source] : undefined
      if (source === undefined) continue
      const entry = found.get(source.name) ?? { sources: [], uses: [] }
      found.set(source.name, entry)
      entry.sources.push({ stream: contract.name, source })
      entry.uses.push({ stream: contract.name, rawTopic, ingest: ingest as IngestPull })
    }
  }
  return [...found.values()]
    .map(({ sources, uses }) => {
      const source = sources[0]!.source
      return {
        source,
        uses,
        problems: [...conflicts(sources), ...(isByConnect(source) ? sharedTables(source, uses) : [])],
      }
    })
    .sort((a, b) => (a.source.name < b.source.name ? -1 : 1))
}

function conflicts(sources: readonly { stream: string; source: Source }[]): MeshError[] {
  const first = sources[0]!
  const other = sources.find(({ source }) => JSON.stringify(source) !== JSON.stringify(first.source))
  if (!other) return []
  return [
    new MeshError(
      'MESH_SOURCE_CONFLICT',
      `streams ${first.stream} and ${other.stream} were applied with different definitions of source ${first.source.name}`,
      { place: `sources/${first.source.name}.yaml` },
    ),
  ]
}

/** One connector sends a table to one topic. */
function sharedTables(source: Source, uses: readonly SourceUse[]): MeshError[] {
  const owners = new Map<string, string>()
  const problems: MeshError[] = []
  for (const { stream, ingest } of uses) {
    const name = ingest.kind === 'cdc' ? ingest.table : ingest.kind === 'connect' ? (ingest.topic ?? '*') : null
    if (name === null) continue
    const owner = owners.get(name)
    if (owner === undefined) owners.set(name, stream)
    else {
      const text = `${name} of source ${source.name} is taken by stream ${owner} and by stream ${stream}`
      problems.push(new MeshError('MESH_SOURCE_TABLE_TAKEN', text, { place: `streams/${stream}/stream.yaml` }))
    }
  }
  return problems
}

/** Each once: a stream may take several things from a source. */
export const streamsOf = (uses: readonly SourceUse[]): string[] => [...new Set(uses.map(({ stream }) => stream))]

export const tablesOf = (uses: readonly SourceUse[]): { table: string; stream: string; rawTopic: string }[] =>
  uses
    .filter((use): use is SourceUse & { ingest: IngestCdc } => use.ingest.kind === 'cdc')
    .map(({ stream, rawTopic, ingest }) => ({ table: ingest.table, stream, rawTopic }))
