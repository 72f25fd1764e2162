import type { Run } from '@mesh/shared/core/runs'
import { dbtSourceName } from '@mesh/shared/core/topics'
import { type ModelLineage, tableSources } from '@mesh/shared/lineage/dbt-lineage'
import type { DbtManifest, DbtModel } from '@mesh/shared/lineage/dbt-manifest'
import type { Derivation } from '@mesh/shared/lineage/select-columns'
import {
  bronzeDataset,
  exposureDataset,
  goldDataset,
  landingDataset,
  type Places,
  refinedDataset,
  silverDataset,
  withFacets,
} from './lineage-datasets.ts'
import { lineageRunId } from './lineage-id.ts'
import { type Dataset, type EventType, type Facets, facet, type RunEvent, runEvent } from './open-lineage.ts'
import { executionId } from './run-state.ts'

/** What dbt wrote about a run: its manifest and what can be said of its models' columns. */
export type DbtArtefacts = {
  readonly manifest: DbtManifest
  readonly lineage: ReadonlyMap<string, ModelLineage>
}

export type RunLineageOptions = {
  readonly places: Places
  readonly namespace: string
  /** Null: the run is not dbt's, or its files are gone: tables are then told from the run alone. */
  readonly artefacts: DbtArtefacts | null
}

/**
 * A record of a run: the run itself, and for a dbt run that ended well one run per model and exposure, with the run as their parent.
 * Nothing for states that change no dataset.
 */
export function runLineage(run: Run, options: RunLineageOptions): RunEvent[] {
  const type = eventType(run)
  if (type === null) return []
  const own = jobEvent(run, type, options)
  if (type !== 'COMPLETE' || options.artefacts === null) return [own]
  const built = new Set(run.result?.outputs.filter(({ status }) => status === 'success').map(({ name }) => tail(name)))
  return [own, ...modelEvents(run, built, options, options.artefacts)]
}

function eventType({ state }: Run): EventType | null {
  if (state === 'running') return 'START'
  if (state === 'succeeded' || state === 'stopped') return 'COMPLETE'
  return state === 'failed' || state === 'dead' ? 'FAIL' : null
}

function jobEvent(run: Run, type: EventType, { places, namespace }: RunLineageOptions): RunEvent {
  const failure: Facets =
    type === 'FAIL' && run.error
      ? {
          errorMessage: facet('errorMessage', {
            message: `${run.error.code}: ${run.error.message}`,
            programmingLanguage: 'none',
          }),
        }
      : {}
  return runEvent({
    type,
    at: timeOf(run, type),
    runId: attemptId(run),
    job: { namespace, name: run.job },
    processing: run.streaming ? 'STREAMING' : 'BATCH',
    runFacets: { mesh_offsets: facet('mesh_offsets', { vector: run.vector, run: run.id, full: run.full }), ...failure },
    inputs: inputsOf(run, places),
    outputs: type === 'START' ? [] : (run.result?.outputs ?? []).map(({ name }) => goldDataset(places, name)),
  })
}

const attemptId = (run: Run): string => lineageRunId('run', executionId(run))

function timeOf(run: Run, type: EventType): string {
  const attempt = run.attempts.find(({ number }) => number === run.attempt)
  const ended = attempt?.endedAt ?? run.endedAt
  return (type === 'START' ? attempt?.startedAt : ended) ?? run.startedAt ?? run.plannedAt
}

function inputsOf(run: Run, places: Places): Dataset[] {
  const datasets = run.vector.map(({ layer, stream, version }) => {
    if (layer === 'bronze') return bronzeDataset(places, stream)
    if (layer === 'silver') return silverDataset(places, stream, version)
    return layer === 'refined' ? refinedDataset(places, stream, version) : landingTable(run, stream, version, places)
  })
  return unique(datasets)
}

/** The table that the newest commit event of the stream's landing layer names. */
function landingTable(run: Run, stream: string, version: number, places: Places): Dataset {
  const position = run.asOf.find(
    (each) => each.layer === 'landing' && each.stream === stream && each.version === version,
  )
  return landingDataset(places, stream, version, position?.objects[0])
}

function modelEvents(
  run: Run,
  built: ReadonlySet<string>,
  { places, namespace }: RunLineageOptions,
  { manifest, lineage }: DbtArtefacts,
): RunEvent[] {
  const parent = facet('parent', { run: { runId: attemptId(run) }, job: { namespace, name: run.job } })
  const models = manifest.models.filter(({ name, materialized }) => materialized !== 'ephemeral' && built.has(name))
  const datasetOf = (id: string): Dataset | null => {
    const source = manifest.sources.find((each) => each.id === id)
    if (source) return sourceTable(run, source.name, places)
    const model = manifest.models.find((each) => each.id === id)
    return model ? goldDataset(places, relationOf(run, model)) : null
  }
  const child = (name: string, inputs: Dataset[], output: Dataset): RunEvent[] => {
    const runId = lineageRunId('run', executionId(run), name)
    const event = { runId, job: { namespace, name: `${run.job}.${name}` }, processing: 'BATCH' as const }
    const [started, ended] = [timeOf(run, 'START'), timeOf(run, 'COMPLETE')]
    const same = { ...event, runFacets: { parent }, inputs }
    return [
      runEvent({ ...same, type: 'START', at: started, outputs: [] }),
      runEvent({ ...same, type: 'COMPLETE', at: ended, outputs: [output] }),
    ]
  }
  const exposures = manifest.exposures.filter(({ dependsOn }) => models.some(({ id }) => dependsOn.includes(id)))
  return [
    ...models.flatMap((model) => {
      const inputs = tablesRead(model, manifest).flatMap((id) => datasetOf(id) ?? [])
      const facets = { ...schemaFacet(model), ...columnFacet(model, lineage, datasetOf) }
      return child(model.name, unique(inputs), withFacets(goldDataset(places, relationOf(run, model)), facets))
    }),
    ...exposures.flatMap(({ name, dependsOn }) =>
      child(`exposure.${name}`, unique(dependsOn.flatMap((id) => datasetOf(id) ?? [])), exposureDataset(name)),
    ),
  ]
}

/** dbt's name of the table in this run, or what it would be. */
function relationOf(run: Run, { name }: DbtModel): string {
  return run.result?.outputs.find((output) => tail(output.name) === name)?.name ?? `main.${name}`
}

function sourceTable(run: Run, source: string, places: Places): Dataset | null {
  const stream = Object.keys(run.streams).find((name) => dbtSourceName(name) === source)
  if (stream === undefined) return null
  const candidate = run.candidate ? run.vector.find((range) => range.stream === stream)?.version : undefined
  return landingTable(run, stream, candidate ?? run.streams[stream]!.version, places)
}

/** Sources and tables that a model reads, ephemeral ones seen through. */
function tablesRead(model: DbtModel, manifest: DbtManifest): string[] {
  return model.dependsOn.flatMap((id) => {
    const read = manifest.models.find((each) => each.id === id)
    return read?.materialized === 'ephemeral' ? tablesRead(read, manifest) : [id]
  })
}

function schemaFacet({ columns }: DbtModel): Facets {
  if (columns.length === 0) return {}
  const fields = columns.map(({ name, type, description }) => ({
    name,
    ...(type === null ? {} : { type }),
    ...(description === '' ? {} : { description }),
  }))
  return { schema: facet('schema', { fields }) }
}

const SUBTYPES: Readonly<Record<Derivation, string>> = {
  identity: 'IDENTITY',
  transformation: 'TRANSFORMATION',
  aggregation: 'AGGREGATION',
}

function columnFacet(
  model: DbtModel,
  lineage: ReadonlyMap<string, ModelLineage>,
  datasetOf: (id: string) => Dataset | null,
): Facets {
  const columns = lineage.get(model.id)?.columns
  if (!columns) return {}
  const fields = columns.flatMap((column) => {
    const { sources, derivation } = tableSources(column, lineage)
    const inputFields = sources.flatMap(({ relation, column: field }) => {
      const dataset = datasetOf(relation)
      return dataset
        ? [{ ...dataset, field, transformations: [{ type: 'DIRECT', subtype: SUBTYPES[derivation] }] }]
        : []
    })
    return inputFields.length > 0 ? [[column.name, { inputFields }] as const] : []
  })
  return { columnLineage: facet('columnLineage', { fields: Object.fromEntries(fields) }) }
}

const tail = (relation: string): string => relation.split('.').at(-1)!

const unique = (datasets: readonly Dataset[]): Dataset[] => [
  ...new Map(datasets.map((dataset) => [`${dataset.namespace}\0${dataset.name}`, dataset])).values(),
]
