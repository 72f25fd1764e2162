import { rawTopic, refinedTopic, tableName, versionTable } from '@mesh/shared/core/topics'
import type { Dataset, Facets } from './open-lineage.ts'

/** Where the mesh's datasets live, as OpenLineage namespaces. */
export type Places = {
  /** `kafka://host:port` of the first broker. */
  readonly kafka: string
  /** `file` or `s3://bucket`, and what stands before an object's key. */
  readonly lake: { readonly namespace: string; readonly prefix: string }
  /** `duckdb:///absolute/file.duckdb`, or what the address of the warehouse says. */
  readonly landing: string
  readonly gold: string
}

export type Columns = readonly { readonly name: string; readonly type: string }[]

/** @param brokers host:port each */
export function placesOf(settings: {
  readonly kafkaBrokers: readonly string[]
  readonly lakeUrl: string | null
  readonly warehouseUrl: string | null
  readonly goldUrl: string | null
}): Places {
  return {
    kafka: `kafka://${settings.kafkaBrokers[0] ?? ''}`,
    lake: lakePlace(settings.lakeUrl),
    landing: settings.warehouseUrl ?? 'landing',
    gold: settings.goldUrl ?? 'gold',
  }
}

function lakePlace(url: string | null): Places['lake'] {
  if (url === null || !URL.canParse(url)) return { namespace: 'lake', prefix: '' }
  const { protocol, host, pathname } = new URL(url)
  const prefix = pathname.replace(/\/*$/, '/')
  if (protocol === 'file:') return { namespace: 'file', prefix }
  return { namespace: `${protocol}//${host}`, prefix: prefix.slice(1) }
}

export const rawDataset = (places: Places, stream: string): Dataset => ({
  namespace: places.kafka,
  name: rawTopic(stream),
})
export const topicDataset = (places: Places, name: string): Dataset => ({ namespace: places.kafka, name })
export const refinedDataset = (places: Places, stream: string, version: number): Dataset =>
  topicDataset(places, refinedTopic(stream, version))
export const bronzeDataset = ({ lake }: Places, stream: string): Dataset => ({
  namespace: lake.namespace,
  name: `${lake.prefix}bronze/${stream}`,
})
export const silverDataset = ({ lake }: Places, stream: string, version: number): Dataset => ({
  namespace: lake.namespace,
  name: `${lake.prefix}silver/${stream}/v${version}`,
})
/** @param table of the version; named after the stream where no commit event has said it */
export const landingDataset = (places: Places, stream: string, version: number, table?: string): Dataset => ({
  namespace: places.landing,
  name: `main.${table ?? versionTable(tableName(stream), version)}`,
})
/** @param relation as dbt names it, `gold.main.airports` */
export const goldDataset = (places: Places, relation: string): Dataset => ({
  namespace: places.gold,
  name: relation.split('.').slice(-2).join('.'),
})
export const exposureDataset = (name: string): Dataset => ({ namespace: 'exposure', name })

export const withFacets = (dataset: Dataset, facets: Facets): Dataset =>
  Object.keys(facets).length === 0 ? dataset : { ...dataset, facets }
