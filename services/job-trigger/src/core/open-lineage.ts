/**
 * OpenLineage 2-0-2 run events, as far as the mesh writes them (openlineage.io/spec: OpenLineage.json and the facets named below).
 * Every facet says who made it and which schema it follows.
 */

export const PRODUCER = 'urn:kappa-mesh:job-trigger'
const SPEC = 'https://openlineage.io/spec'
const EVENT_SCHEMA = `${SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent`

export type FacetName =
  | 'schema'
  | 'columnLineage'
  | 'outputStatistics'
  | 'parent'
  | 'errorMessage'
  | 'jobType'
  | 'mesh_offsets'

/** Facet → its schema. `mesh_offsets` is the mesh's own: the offset vector of a run, which no standard facet can hold. */
const FACET_SCHEMAS: Readonly<Record<FacetName, string>> = {
  schema: `${SPEC}/facets/1-1-1/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet`,
  columnLineage: `${SPEC}/facets/1-2-0/ColumnLineageDatasetFacet.json#/$defs/ColumnLineageDatasetFacet`,
  outputStatistics: `${SPEC}/facets/1-0-2/OutputStatisticsOutputDatasetFacet.json#/$defs/OutputStatisticsOutputDatasetFacet`,
  parent: `${SPEC}/facets/1-0-1/ParentRunFacet.json#/$defs/ParentRunFacet`,
  errorMessage: `${SPEC}/facets/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet`,
  jobType: `${SPEC}/facets/2-0-3/JobTypeJobFacet.json#/$defs/JobTypeJobFacet`,
  mesh_offsets: 'urn:kappa-mesh:openlineage:offsets-run-facet:1',
}

export type Facet = { readonly _producer: string; readonly _schemaURL: string; readonly [property: string]: unknown }
export type Facets = Readonly<Record<string, Facet>>

export type EventType = 'START' | 'COMPLETE' | 'FAIL'

export type Dataset = {
  readonly namespace: string
  readonly name: string
  readonly facets?: Facets
}
export type OutputDataset = Dataset & { readonly outputFacets?: Facets }

export type RunEvent = {
  readonly eventType: EventType
  /** RFC 3339. */
  readonly eventTime: string
  readonly producer: string
  readonly schemaURL: string
  readonly run: { readonly runId: string; readonly facets: Facets }
  readonly job: { readonly namespace: string; readonly name: string; readonly facets: Facets }
  readonly inputs: readonly Dataset[]
  readonly outputs: readonly OutputDataset[]
}

export type RunEventParts = {
  readonly type: EventType
  readonly at: string
  readonly runId: string
  readonly job: { readonly namespace: string; readonly name: string }
  readonly processing: 'STREAMING' | 'BATCH'
  readonly runFacets?: Facets
  readonly inputs: readonly Dataset[]
  readonly outputs: readonly OutputDataset[]
}

export function runEvent({ type, at, runId, job, processing, runFacets, inputs, outputs }: RunEventParts): RunEvent {
  const jobType = facet('jobType', { processingType: processing, integration: 'KAPPA_MESH', jobType: 'JOB' })
  return {
    eventType: type,
    eventTime: at,
    producer: PRODUCER,
    schemaURL: EVENT_SCHEMA,
    run: { runId, facets: runFacets ?? {} },
    job: { ...job, facets: { jobType } },
    inputs,
    outputs,
  }
}

export function facet(name: FacetName, content: Readonly<Record<string, unknown>>): Facet {
  return { _producer: PRODUCER, _schemaURL: FACET_SCHEMAS[name], ...content }
}
