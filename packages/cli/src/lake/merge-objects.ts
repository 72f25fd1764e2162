import { addHash, formatHash, type HashSum, parseHash, rawHash, subtractHash } from '@mesh/shared/core/books'
import { MeshError } from '@mesh/shared/core/errors'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { type ChainFooter, type ChainLink, formatChainFooter } from '@mesh/shared/lake/chain'
import { type ChainId, mergedKey } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { createParquetWriter, readColumns, readRowGroups } from '@mesh/shared/lake/parquet'
import type { Merge } from './merge-plan.ts'

/** `taken`: how many of the links it holds; those behind have other columns. */
export type MergedObject = { readonly link: ChainLink; readonly content: Uint8Array; readonly taken: number }

/** A row group ends at one of these: what is in memory beside the objects' bytes stays bounded. */
const GROUP_ROWS = 50_000
const GROUP_BYTES = 16 * 1_048_576

/**
 * One object with the rows of its links as they are and in their order, on the books of the last. Before it is returned its own bytes
 * are read back, and counted and summed against those books. Null when the first two links have different columns.
 * @param at epoch ms
 * @throws MeshError MESH_LAKE_CHAIN_BROKEN
 */
export async function mergeObjects(store: ObjectStore, merge: Merge, at: number): Promise<MergedObject | null> {
  const columns = readColumns(await contentOf(store, merge.links[0]!))
  const file = createParquetWriter(columns)
  const taken: ChainLink[] = []
  let rows: unknown[][] = []
  let bytes = 0
  const cut = (): void => {
    if (rows.length > 0) file.add(rows)
    rows = []
    bytes = 0
  }
  for (const link of merge.links) {
    const content = await contentOf(store, link)
    if (JSON.stringify(readColumns(content)) !== JSON.stringify(columns)) break
    for await (const group of readRowGroups(content)) {
      if (rows.length + group.length > GROUP_ROWS || bytes + link.bytes > GROUP_BYTES) cut()
      for (const row of group) rows.push(columns.map(({ name }) => row[name]))
      bytes += link.bytes
    }
    taken.push(link)
  }
  if (taken.length < 2) return null
  cut()
  const footer = mergedFooter(taken, at)
  const content = file.finish(formatChainFooter(footer))
  const key = mergedKey(footer, footer.firstOffset, footer.nextOffset)
  await checkContent(content, footer, merge.before?.footer ?? null)
  return { link: { key, bytes: content.byteLength, footer }, content, taken: taken.length }
}

function mergedFooter(links: readonly ChainLink[], at: number): ChainFooter {
  const footers = links.map(({ footer }) => footer)
  const first = footers[0]!
  const last = footers.at(-1)!
  const times = footers.map(({ maxTimestamp }) => maxTimestamp)
  // Where one does not say how young its records are, nobody can say it of the whole.
  const known = times.every((time) => time !== undefined)
  const { merged: _merged, maxTimestamp: _maxTimestamp, ...books } = last
  return {
    ...books,
    kind: 'records',
    firstOffset: first.firstOffset,
    rows: footers.reduce((sum, { rows }) => sum + rows, 0),
    minEventTime: extreme(
      footers.map(({ minEventTime }) => minEventTime),
      Math.min,
    ),
    maxEventTime: extreme(
      footers.map(({ maxEventTime }) => maxEventTime),
      Math.max,
    ),
    ...(known ? { maxTimestamp: extreme(times, Math.max) } : {}),
    merged: { at, objects: footers.reduce((sum, { merged }) => sum + (merged?.objects ?? 1), 0) },
  }
}

function extreme(
  values: readonly (number | null | undefined)[],
  pick: (a: number, b: number) => number,
): number | null {
  const known = values.filter((value) => typeof value === 'number')
  return known.length === 0 ? null : known.reduce((a, b) => pick(a, b))
}

/** That the object holds what the books say was put into the chain between `before` and its end. */
async function checkContent(content: Uint8Array, footer: ChainFooter, before: ChainFooter | null): Promise<void> {
  let rows = 0
  let hash: HashSum = 0n
  for await (const group of readRowGroups(content)) {
    rows += group.length
    for (const row of group) hash = addHash(hash, contentHash(footer, row))
  }
  const expected = {
    rows: footer.counts.ok - (before?.counts.ok ?? 0),
    hash: formatHash(subtractHash(parseHash(footer.hash), parseHash(before?.hash ?? '0'))),
  }
  if (rows === expected.rows && formatHash(hash) === expected.hash) return
  throw new MeshError(
    'MESH_LAKE_CHAIN_BROKEN',
    `objects of [${footer.firstOffset}, ${footer.nextOffset}) are not merged: their books have ${expected.rows} rows of content ` +
      `${expected.hash}, they hold ${rows} of ${formatHash(hash)}`,
    { place: mergedKey(footer, footer.firstOffset, footer.nextOffset) },
  )
}

function contentHash({ layer, topicId, partition }: ChainId, row: Record<string, unknown>): HashSum {
  if (layer === 'silver') return parseHash(String(row['_hash']))
  return rawHash({ topicId, partition, offset: Number(row['offset']) }, row as unknown as KafkaRecord)
}

async function contentOf(store: ObjectStore, { key }: ChainLink): Promise<Uint8Array> {
  const bytes = await store.get(key)
  if (!bytes)
    throw new MeshError('MESH_LAKE_CHAIN_BROKEN', 'the object disappeared while it was merged', { place: key })
  return bytes
}
