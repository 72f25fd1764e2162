import { type ChainFooter, type ChainLink, formatChainFooter, listChain, readNamed } from '@mesh/shared/lake/chain'
import { type ChainId, chainPositions, chainPrefix, droppedKey } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { createParquetWriter, readColumns, readParquetRows } from '@mesh/shared/lake/parquet'

/** What of a chain's history may go. Null: all of it stays, and why. */
export type HistoryRule =
  | { readonly keep: string }
  | {
      /** Epoch ms: objects whose youngest record is older. */
      readonly before: number
      /** Never at or above this offset. */
      readonly below: number
    }

export type RetainOptions = {
  /** Epoch ms. */
  readonly now: number
  /** Objects that another has stood for this long are deleted. */
  readonly graceMs: number
  readonly history: HistoryRule
  readonly dryRun: boolean
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

/** History that is dropped, or would be: offsets [from, to), and what lay in them. `until`: its youngest record, epoch ms. */
export type Dropped = {
  readonly from: number
  readonly to: number
  readonly objects: number
  readonly rows: number
  readonly bytes: number
  readonly until: number | null
}

export type Retention = {
  readonly chain: string
  /** Objects that another stands for, deleted or to be deleted. */
  readonly deleted: number
  readonly deletedBytes: number
  /** Objects that another stands for, not yet for long enough. */
  readonly waiting: number
  readonly dropped: Dropped | null
  /** Why no history is dropped; null where the contract lets it go. */
  readonly kept: string | null
}

/** Deletes what another object stands for, then books history as dropped: its objects are deleted by a later run, after the same grace. */
export async function retainChain(store: ObjectStore, id: ChainId, options: RetainOptions): Promise<Retention> {
  const superseded = await deleteSuperseded(store, id, options)
  const { history } = options
  const kept = 'keep' in history ? history.keep : null
  const dropped = 'keep' in history ? null : await dropHistory(store, id, { ...options, history })
  return { chain: chainPrefix(id), ...superseded, dropped, kept }
}

/**
 * Ascending, so that an object which is left never leads to one that is gone, wherever this ends.
 */
async function deleteSuperseded(
  store: ObjectStore,
  id: ChainId,
  { now, graceMs, dryRun, signal, onProgress }: RetainOptions,
): Promise<{ deleted: number; deletedBytes: number; waiting: number }> {
  let deleted = 0
  let deletedBytes = 0
  let waiting = 0
  for await (const { name, superseded } of chainPositions(store.list(chainPrefix(id)))) {
    if (superseded.length === 0) continue
    const since = (await readNamed(store, name))?.footer.merged?.at
    if (since === undefined || now - since < graceMs) {
      waiting += superseded.length
      continue
    }
    for (const { key } of superseded.toSorted((a, b) => a.firstOffset - b.firstOffset)) {
      if (signal.aborted) return { deleted, deletedBytes, waiting }
      const bytes = (await store.size(key)) ?? 0
      if (!dryRun) await store.delete(key)
      deleted++
      deletedBytes += bytes
    }
    onProgress(`${name.key}: ${superseded.length} objects that it stands for ${dryRun ? 'would be' : 'are'} deleted`)
  }
  return { deleted, deletedBytes, waiting }
}

async function dropHistory(
  store: ObjectStore,
  id: ChainId,
  options: RetainOptions & { readonly history: { readonly before: number; readonly below: number } },
): Promise<Dropped | null> {
  const { links, until } = await oldestLinks(store, id, options.history)
  const fresh = links.filter(({ footer }) => footer.kind !== 'dropped')
  const last = links.at(-1)
  if (!last || fresh.length === 0) return null
  const dropped: Dropped = {
    from: fresh[0]!.footer.firstOffset,
    to: last.footer.nextOffset,
    objects: fresh.length,
    rows: fresh.reduce((sum, { footer }) => sum + footer.rows, 0),
    bytes: fresh.reduce((sum, { bytes }) => sum + bytes, 0),
    until,
  }
  if (options.dryRun || options.signal.aborted) return options.dryRun ? dropped : null
  const bytes = await store.get(last.key)
  if (!bytes) return null
  const file = createParquetWriter(readColumns(bytes))
  const footer = droppedFooter(last.footer, { at: options.now, objects: links.length })
  await store.create(droppedKey(id, 0, dropped.to), file.finish(formatChainFooter(footer)))
  options.onProgress(`${chainPrefix(id)}: history below offset ${dropped.to} is dropped, ${dropped.rows} rows`)
  return dropped
}

/** From the chain's begin on, up to the first that may not go; never the chain's last. */
async function oldestLinks(
  store: ObjectStore,
  id: ChainId,
  { before, below }: { before: number; below: number },
): Promise<{ links: ChainLink[]; until: number | null }> {
  const links: ChainLink[] = []
  let pending: ChainLink | null = null
  let until: number | null = null
  for await (const link of listChain(store, id)) {
    if (pending) links.push(pending)
    pending = null
    if (link.footer.nextOffset > below) break
    const newest = await newestRecord(store, link)
    if (newest === undefined || (newest !== null && newest >= before)) break
    if (newest !== null) until = Math.max(until ?? newest, newest)
    pending = link
  }
  return { links, until }
}

/** Epoch ms; null without records, undefined where it cannot be known: silver of an older sink. */
async function newestRecord(store: ObjectStore, { key, footer }: ChainLink): Promise<number | null | undefined> {
  if (footer.kind !== 'records') return null
  if (footer.maxTimestamp !== undefined || footer.layer === 'silver') return footer.maxTimestamp
  const bytes = await store.get(key)
  if (!bytes) return undefined
  const times = (await readParquetRows(bytes, ['timestamp'])).map((row) => row['timestamp'] as number)
  return times.reduce<number | null>((newest, time) => Math.max(newest ?? time, time), null)
}

function droppedFooter(last: ChainFooter, merged: { at: number; objects: number }): ChainFooter {
  const times = { minEventTime: null, maxEventTime: null, maxTimestamp: null }
  return { ...last, ...times, kind: 'dropped', firstOffset: 0, rows: 0, merged }
}
