import { dbtSourceName } from '@mesh/shared/core/topics'
import { type ModelLineage, tableSources } from '@mesh/shared/lineage/dbt-lineage'
import type { DbtManifest, DbtModel } from '@mesh/shared/lineage/dbt-manifest'
import { declaredSources } from '@mesh/shared/lineage/declared-sources'
import { columnsOf } from '@mesh/shared/schema/columns'
import type { StreamFolder } from '@mesh/shared/schema/stream-folder'

/** A dataset, or one column of it: `landing.flights` + `delay`, `raw.flights` + `/delay`. */
export type Place = { readonly dataset: string; readonly column: string | null }

/** exact: the contract or the SQL says so. declared: refined.avsc says so of what refine.ts does. table: no more is known than the datasets. */
export type Basis = 'exact' | 'declared' | 'table'

export type Edge = { readonly from: Place; readonly to: Place; readonly basis: Basis; readonly how: string }

export type LineageGraph = {
  /** Dataset → its columns; null where they are not listed anywhere (raw events, exposures). */
  readonly datasets: ReadonlyMap<string, readonly string[] | null>
  readonly edges: readonly Edge[]
}

type Making = { readonly datasets: Map<string, readonly string[] | null>; readonly edges: Edge[] }

/** What streams' contracts and dbt's manifest say, from the field of an event to the exposure. */
export function lineageGraph(
  streams: readonly StreamFolder[],
  manifest: DbtManifest,
  models: ReadonlyMap<string, ModelLineage>,
): LineageGraph {
  const making: Making = { datasets: new Map(), edges: [] }
  for (const stream of streams) addStream(making, stream)
  const tables = manifest.models.filter(({ materialized }) => materialized !== 'ephemeral')
  const nameOf = new Map([
    ...manifest.sources.map(({ id, name }) => [id, landingOf(name, streams)] as const),
    ...tables.map(({ id, name }) => [id, `gold.${name}`] as const),
  ])
  for (const model of tables) addModel(making, model, { manifest, models, nameOf })
  for (const { name, type, dependsOn } of manifest.exposures) {
    making.datasets.set(`exposure.${name}`, null)
    for (const id of dependsOn) link(making, nameOf.get(id), `exposure.${name}`, `${type} that depends on the table`)
  }
  return making
}

function landingOf(source: string, streams: readonly StreamFolder[]): string {
  const stream = streams.find(({ contract }) => dbtSourceName(contract.name) === source)
  return `landing.${stream?.contract.name ?? source}`
}

function addStream({ datasets, edges }: Making, { contract, refinedAvsc, refineFile }: StreamFolder): void {
  const { name } = contract
  const columns = columnsOf(refinedAvsc).map((column) => column.name)
  const [raw, refined] = [`raw.${name}`, `refined.${name}`]
  datasets.set(raw, null).set(`bronze.${name}`, null)
  const making = { datasets, edges }
  link(making, raw, `bronze.${name}`, 'as received, byte for byte')
  datasets.set(refined, columns)
  const declared = declaredSources(refinedAvsc, contract.refine.joins, refineFile !== null)
  link(making, raw, refined, refineFile === null ? 'the event is the record' : 'refine.ts')
  for (const { stream } of contract.refine.joins) link(making, `refined.${stream}`, refined, 'joined in refine.ts')
  for (const [column, sources] of declared) {
    for (const { stream, field } of sources) {
      const from = { dataset: stream === null ? raw : `refined.${stream}`, column: field }
      const how = refineFile === null ? 'the event is the record' : 'declared in refined.avsc'
      edges.push({ from, to: { dataset: refined, column }, basis: refineFile === null ? 'exact' : 'declared', how })
    }
  }
  for (const layer of ['silver', 'landing']) {
    const dataset = `${layer}.${name}`
    datasets.set(dataset, columns)
    link(making, refined, dataset, 'same columns by contract')
    for (const column of columns) {
      const [from, to] = [
        { dataset: refined, column },
        { dataset, column },
      ]
      edges.push({ from, to, basis: 'exact', how: 'same column by contract' })
    }
  }
}

type Models = {
  readonly manifest: DbtManifest
  readonly models: ReadonlyMap<string, ModelLineage>
  readonly nameOf: ReadonlyMap<string, string>
}

function addModel(making: Making, model: DbtModel, { manifest, models, nameOf }: Models): void {
  const dataset = `gold.${model.name}`
  const selected = models.get(model.id)?.columns ?? null
  making.datasets.set(dataset, selected?.map(({ name }) => name) ?? model.columns.map(({ name }) => name))
  for (const id of tablesRead(model, manifest)) link(making, nameOf.get(id), dataset, `dbt model ${model.name}`)
  for (const column of selected ?? []) {
    const { sources, derivation } = tableSources(column, models)
    const how = { identity: 'taken as it is', transformation: 'an expression', aggregation: 'an aggregate' }[derivation]
    for (const source of sources) {
      const from = nameOf.get(source.relation)
      if (from === undefined) continue
      const to = { dataset, column: column.name }
      making.edges.push({ from: { dataset: from, column: source.column }, to, basis: 'exact', how: `${how} in SQL` })
    }
    // Nothing to follow: a count of rows, a constant. It is known that there is no column, so it is no gap.
    if (sources.length === 0) {
      const to = { dataset, column: column.name }
      making.edges.push({ from: { dataset, column: null }, to, basis: 'exact', how: 'made of rows, of no column' })
    }
  }
}

function tablesRead(model: DbtModel, manifest: DbtManifest): string[] {
  const ids = model.dependsOn.flatMap((id) => {
    const read = manifest.models.find((each) => each.id === id)
    return read?.materialized === 'ephemeral' ? tablesRead(read, manifest) : [id]
  })
  return [...new Set(ids)]
}

function link({ edges }: Making, from: string | undefined, to: string, how: string): void {
  const known = edges.some((edge) => edge.from.dataset === from && edge.to.dataset === to && edge.to.column === null)
  if (from === undefined || known) return
  edges.push({ from: { dataset: from, column: null }, to: { dataset: to, column: null }, basis: 'table', how })
}
