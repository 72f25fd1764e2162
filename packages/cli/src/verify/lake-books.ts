import { addHash, formatHash, type HashSum, parseHash, rawHash, subtractHash } from '@mesh/shared/core/books'
import { MeshError } from '@mesh/shared/core/errors'
import { readBronzeRecords } from '@mesh/shared/lake/bronze'
import { type ChainFooter, listChain } from '@mesh/shared/lake/chain'
import { type ChainId, chainKey } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { readParquetRows } from '@mesh/shared/lake/parquet'
import type { LayerBooks } from './books.ts'
import { type Cut, isWithin } from './cut.ts'

export type BronzeBooks = LayerBooks & { readonly holes: number; readonly reached: number }

type Sum = { records: number; holes: number; hash: HashSum }

/**
 * Bronze's books over raw offsets [from, to): whole objects by their footers, the ones that a bound cuts by their rows.
 * @throws MeshError MESH_LAKE_CHAIN_BROKEN when the objects do not tile from 0.
 */
export async function readBronzeBooks(store: ObjectStore, id: ChainId, from: number, to: number): Promise<BronzeBooks> {
  const footers: ChainFooter[] = []
  for await (const link of listChain(store, id)) footers.push(link.footer)
  const upper = await bronzeUpTo(store, id, footers, to)
  const lower = await bronzeUpTo(store, id, footers, from)
  return {
    records: upper.records - lower.records,
    holes: upper.holes - lower.holes,
    hash: formatHash(subtractHash(upper.hash, lower.hash)),
    reached: footers.at(-1)?.nextOffset ?? 0,
  }
}

async function bronzeUpTo(
  store: ObjectStore,
  id: ChainId,
  footers: readonly ChainFooter[],
  bound: number,
): Promise<Sum> {
  const whole = footers.findLast((footer) => footer.nextOffset <= bound)
  const sum: Sum = {
    records: whole?.counts.ok ?? 0,
    holes: whole?.counts.hole ?? 0,
    hash: parseHash(whole?.hash ?? '0'),
  }
  const cut = footers.find((footer) => footer.firstOffset < bound && bound < footer.nextOffset)
  if (!cut) return sum
  if (cut.kind === 'dropped') {
    const message = `offset ${bound} lies in history that the lake's retention dropped: its books cannot be split`
    throw new MeshError('MESH_LAKE_CHAIN_BROKEN', message, { place: chainKey(id, cut.firstOffset) })
  }
  const range = { stream: id.stream, topicId: id.topicId, partition: id.partition, from: cut.firstOffset, to: bound }
  for await (const batch of readBronzeRecords(store, range)) {
    if (batch.hole) sum.holes += batch.nextOffset - batch.firstOffset
    for (const record of batch.records) {
      sum.records++
      sum.hash = addHash(
        sum.hash,
        rawHash({ topicId: id.topicId, partition: id.partition, offset: record.offset }, record),
      )
    }
  }
  return sum
}

/** Silver's books at the cut: objects that end at or below the refined offset by their footers, the cut one by its rows. */
export async function readSilverBooks(
  store: ObjectStore,
  id: ChainId,
  cut: Cut & { readonly refinedOffset: number },
): Promise<LayerBooks & { readonly behind: boolean }> {
  let records = 0
  let hash: HashSum = 0n
  let reached = 0
  for await (const { key, footer } of listChain(store, id)) {
    reached = footer.nextOffset
    if (footer.nextOffset <= cut.refinedOffset) {
      records = footer.counts.outputs
      hash = parseHash(footer.hash)
      continue
    }
    if (footer.firstOffset < cut.refinedOffset) {
      const bytes = await store.get(key)
      for (const row of bytes ? await readParquetRows(bytes, ['_lane', '_offset', '_hash']) : []) {
        if (!isWithin(cut, String(row['_lane']), Number(row['_offset']))) continue
        records++
        hash = addHash(hash, parseHash(String(row['_hash'])))
      }
    }
    break
  }
  return { records, hash: formatHash(hash), behind: reached < cut.refinedOffset }
}
