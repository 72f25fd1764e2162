import { type CommitEvent, commitKey } from '@mesh/shared/core/books'
import { findVersion, type StreamVersions } from '@mesh/shared/core/versions'
import type { FieldSource } from '@mesh/shared/lineage/declared-sources'
import {
  bronzeDataset,
  type Columns,
  landingDataset,
  type Places,
  rawDataset,
  refinedDataset,
  silverDataset,
  topicDataset,
  withFacets,
} from './lineage-datasets.ts'
import { lineageRunId } from './lineage-id.ts'
import { type Dataset, type Facets, facet, type OutputDataset, type RunEvent, runEvent } from './open-lineage.ts'

/** What is known of the schema of a version: its columns, and for each field the event's fields that are declared as its source. */
export type StreamShape = {
  readonly columns: Columns
  /** Streams whose refined records are joined. */
  readonly joins: readonly string[]
  /** Refined field → where it is from. Absent: refine.ts decides, and nothing declares it. */
  readonly declared: ReadonlyMap<string, readonly FieldSource[]>
}
export type CommitLineageOptions = {
  readonly places: Places
  readonly namespace: string
  /** Null where the stream's bundle cannot be read: events then name datasets without their columns. */
  readonly shape: StreamShape | null
  /** By stream. */
  readonly versions: ReadonlyMap<string, StreamVersions>
  /** The commit event before this one, whose counts are taken from its own. Null: not known. */
  readonly before: CommitEvent | null
}

/** The hop that a commit event announces, as the two events of one run: what it read, what it wrote, how many rows. */
export function commitLineage(event: CommitEvent, options: CommitLineageOptions): RunEvent[] {
  const { layer, stream, version, at } = event
  const { inputs, output } = hop(event, options)
  const name = layer === 'bronze' ? `bronze.${stream}` : `${layer}.${stream}.v${version}`
  const shared = {
    at,
    runId: lineageRunId('commit', commitKey(event), event.topicId, event.nextOffset),
    job: { namespace: options.namespace, name },
    processing: 'STREAMING' as const,
    runFacets: { mesh_offsets: offsetsFacet(event) },
    inputs,
  }
  return [
    runEvent({ ...shared, type: 'START', outputs: [] }),
    runEvent({ ...shared, type: 'COMPLETE', outputs: [output] }),
  ]
}

function hop(
  event: CommitEvent,
  options: CommitLineageOptions,
): { readonly inputs: readonly Dataset[]; readonly output: OutputDataset } {
  const { places, shape } = options
  const { layer, stream, version } = event
  const statistics = statisticsOf(event, options.before)
  const raw = sourceTopic(event, options)
  const refined = refinedDataset(places, stream, version)
  switch (layer) {
    case 'bronze':
      return { inputs: [raw], output: { ...bronzeDataset(places, stream), ...statistics } }
    case 'refined': {
      const joined = (shape?.joins ?? []).map((name) => joinedDataset(options, name))
      const facets = { ...schemaFacet(shape), ...refineColumns(shape, raw, options) }
      return { inputs: [raw, ...joined], output: { ...withFacets(refined, facets), ...statistics } }
    }
    case 'silver':
    case 'landing': {
      const target =
        layer === 'silver'
          ? silverDataset(places, stream, version)
          : landingDataset(places, stream, version, event.objects[0])
      const facets = { ...schemaFacet(shape), ...sameColumns(shape, refined) }
      return {
        inputs: [withFacets(refined, schemaFacet(shape))],
        output: { ...withFacets(target, facets), ...statistics },
      }
    }
    default:
      return layer satisfies never
  }
}

/** A candidate reads its history from a replay topic until the changeover. */
function sourceTopic({ stream, version, topicId }: CommitEvent, { places, versions }: CommitLineageOptions): Dataset {
  const state = versions.get(stream)
  const replay = state ? findVersion(state, version)?.replay : null
  return replay?.topicId === topicId ? topicDataset(places, replay.topic) : rawDataset(places, stream)
}

/** Joins read the topic of the version that is live; each record's `mesh-joins` says which rows. */
const joinedDataset = ({ places, versions }: CommitLineageOptions, stream: string): Dataset =>
  refinedDataset(places, stream, versions.get(stream)?.live ?? 1)

function schemaFacet(shape: StreamShape | null): Facets {
  return shape === null ? {} : { schema: facet('schema', { fields: shape.columns }) }
}

/** Only what is declared: refine.ts is code, and a field of the same name proves nothing. */
function refineColumns(shape: StreamShape | null, raw: Dataset, options: CommitLineageOptions): Facets {
  if (shape === null || shape.declared.size === 0) return {}
  const fields = [...shape.declared].map(([name, sources]) => {
    const inputFields = sources.map(({ stream, field }) => ({
      ...(stream === null ? named(raw) : joinedDataset(options, stream)),
      field,
      transformations: [{ type: 'DIRECT', subtype: 'TRANSFORMATION', description: 'declared in refined.avsc' }],
    }))
    return [name, { inputFields }] as const
  })
  return { columnLineage: facet('columnLineage', { fields: Object.fromEntries(fields) }) }
}

/** The columns of silver and landing are the fields of the refined record by contract. */
function sameColumns(shape: StreamShape | null, refined: Dataset): Facets {
  if (shape === null) return {}
  const fields = shape.columns.map(({ name }) => {
    const transformations = [{ type: 'DIRECT', subtype: 'IDENTITY' }]
    return [name, { inputFields: [{ ...named(refined), field: name, transformations }] }] as const
  })
  return { columnLineage: facet('columnLineage', { fields: Object.fromEntries(fields) }) }
}

const named = ({ namespace, name }: Dataset): Dataset => ({ namespace, name })

/** Of this step alone. Counts are cumulative, so the step before has to be known, or there was none. */
function statisticsOf(event: CommitEvent, before: CommitEvent | null): Pick<OutputDataset, 'outputFacets'> {
  const first = event.firstOffset === 0 || before?.nextOffset === event.firstOffset
  if (!first) return {}
  const rows = (counts: CommitEvent['counts']): number => (event.layer === 'bronze' ? counts.ok : counts.outputs)
  const rowCount = rows(event.counts) - (event.firstOffset === 0 || !before ? 0 : rows(before.counts))
  return { outputFacets: { outputStatistics: facet('outputStatistics', { rowCount }) } }
}

function offsetsFacet(event: CommitEvent): Facets[string] {
  const { layer, stream, version, lane, topicId, partition, firstOffset, nextOffset, counts, hash, highest } = event
  const range = { layer, stream, version, lane, topicId, partition, from: firstOffset, to: nextOffset }
  const { codeHash, contractHash } = event
  return facet('mesh_offsets', {
    vector: [{ ...range, ...(highest ? { upTo: highest } : {}) }],
    cumulative: { ...counts, hash },
    codeHash,
    contractHash,
  })
}
