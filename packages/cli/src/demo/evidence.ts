import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { refinedTopic, tableName, versionTable } from '@mesh/shared/core/topics'
import { liveVersion, type StreamVersions } from '@mesh/shared/core/versions'
import { cellText, queryFiles, queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import type { Receipt } from '../gateway-client.ts'

/** How many of a run's events lie in each layer; `expected` of each must be found. */
export type LayerCount = {
  readonly stream: string
  readonly layer: string
  readonly expected: number
  readonly found: number
}

export type Layers = { readonly lakeUrl: string; readonly warehouseFile: string }

/** Counts a run's events in bronze by their coordinates, in silver and landing by their event ids: exactly those of the receipts. */
export async function countLayers(
  layers: Layers,
  state: StreamVersions,
  receipts: readonly Receipt[],
  refinedTopicId: string,
): Promise<LayerCount[]> {
  const { stream } = state
  const expected = receipts.length
  const ids = receipts.map((receipt) => receipt.eventId ?? '')
  const coordinates = new Set(receipts.map((receipt) => `${receipt.partition}/${receipt.offset}`))
  const from = Math.min(...receipts.map((receipt) => receipt.offset ?? 0))
  const bronze = await queryFiles(
    `select partition, "offset" from read_parquet('${bronzeFiles(layers, state)}') where "offset" >= ${from}`,
  )
  const found = bronze.rows.filter((row) =>
    coordinates.has(`${cellText(row['partition'])}/${cellText(row['offset'])}`),
  ).length
  const silver = await queryFiles(`select _event_id from read_parquet('${silverFiles(layers, state, refinedTopicId)}')`)
  const landing = await queryWarehouse(layers.warehouseFile, `select _event_id from ${landingTable(state)}`)
  return [
    { stream, layer: 'bronze', expected, found },
    { stream, layer: 'silver', expected, found: countIds(silver.rows, ids) },
    { stream, layer: 'landing', expected, found: countIds(landing.rows, ids) },
  ]
}

/** Rows whose event id is one of `ids`; a row too many counts too, so that a duplicate is seen. */
function countIds(rows: readonly Readonly<Record<string, unknown>>[], ids: readonly string[]): number {
  const wanted = new Set(ids)
  return rows.filter((row) => wanted.has(cellText(row['_event_id']))).length
}

export type Samples = { readonly bronze: unknown; readonly silver: unknown; readonly landing: unknown }

/** One row of each layer for one event, read back from the files and the table themselves. */
export async function sampleRows(
  layers: Layers,
  state: StreamVersions,
  receipt: Receipt,
  refinedTopicId: string,
): Promise<Samples> {
  const bronze = await queryFiles(
    `select topic_id, partition, "offset", "timestamp", decode(key) as key, decode(value) as value,
       list_transform(headers, h -> h.name || '=' || decode(h.value)) as headers
     from read_parquet('${bronzeFiles(layers, state)}') where partition = ${receipt.partition} and "offset" = ${receipt.offset}`,
  )
  const byId = `where _event_id = '${(receipt.eventId ?? '').replaceAll("'", "''")}' limit 1`
  const silver = await queryFiles(`select * from read_parquet('${silverFiles(layers, state, refinedTopicId)}') ${byId}`)
  const landing = await queryWarehouse(layers.warehouseFile, `select * from ${landingTable(state)} ${byId}`)
  return { bronze: bronze.rows[0] ?? null, silver: silver.rows[0] ?? null, landing: landing.rows[0] ?? null }
}

function landingTable(state: StreamVersions): string {
  return versionTable(tableName(state.stream), liveVersion(state).version)
}

function bronzeFiles(layers: Layers, state: StreamVersions): string {
  return join(fileURLToPath(layers.lakeUrl), 'bronze', state.stream, state.rawTopicId, '*', '*.parquet')
}

function silverFiles(layers: Layers, state: StreamVersions, refinedTopicId: string): string {
  const version = liveVersion(state).version
  return join(fileURLToPath(layers.lakeUrl), 'silver', state.stream, `v${version}`, refinedTopicId, '*', '*.parquet')
}

/** The refined topic of a stream's live version. */
export function liveRefinedTopic(state: StreamVersions): string {
  return refinedTopic(state.stream, state.live)
}
