import { type ChainLink, listChain } from '@mesh/shared/lake/chain'
import { type ChainId, chainPrefix, currentNames } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { mergeObjects } from './merge-objects.ts'
import { type MergeLimits, planMerges } from './merge-plan.ts'

export type CompactOptions = MergeLimits & {
  readonly dryRun: boolean
  /** Epoch ms. */
  readonly now: () => number
  readonly signal: AbortSignal
  readonly onProgress: (text: string) => void
}

/** What became of a chain, or would become. `created` is 0 in a dry run. Bytes are of the objects that were merged, and of the merges. */
export type Compaction = {
  readonly chain: string
  /** Objects that count, before. */
  readonly objects: number
  readonly merged: number
  readonly mergedBytes: number
  readonly created: number
  readonly createdBytes: number
  readonly rows: number
}

/**
 * Merges small neighbours of a chain. The create of a merged object is its commit point: before it nothing has changed, after it the
 * object stands for its parts, which stay where they are until `retain` removes them. So it may be ended anywhere.
 * @throws MeshError MESH_LAKE_CHAIN_BROKEN
 */
export async function compactChain(store: ObjectStore, id: ChainId, options: CompactOptions): Promise<Compaction> {
  const links: ChainLink[] = []
  for await (const link of listChain(store, id)) links.push(link)
  let done = { merged: 0, mergedBytes: 0, created: 0, createdBytes: 0, rows: 0 }
  for (const merge of planMerges(links, options)) {
    for (let rest = merge; rest.links.length > 1 && !options.signal.aborted; ) {
      const object = options.dryRun ? null : await mergeObjects(store, rest, options.now())
      const taken = options.dryRun ? rest.links.length : (object?.taken ?? 1)
      const parts = rest.links.slice(0, taken)
      if ((object && (await create(store, id, { ...object, parts }))) || options.dryRun) {
        const bytes = sum(parts.map((link) => link.bytes))
        done = {
          merged: done.merged + taken,
          mergedBytes: done.mergedBytes + bytes,
          created: done.created + (object ? 1 : 0),
          createdBytes: done.createdBytes + (object?.link.bytes ?? 0),
          rows: done.rows + sum(parts.map(({ footer }) => footer.rows)),
        }
        if (object) options.onProgress(`${object.link.key}: ${taken} objects, ${bytes} bytes in ${object.link.bytes}`)
      }
      rest = { before: rest.links[taken - 1]!, links: rest.links.slice(taken) }
    }
  }
  return { chain: chainPrefix(id), objects: links.length, ...done }
}

/**
 * False when the parts are no longer neighbours that count: another compaction was here first. Its merge holds them, and an object of
 * ours beside it would only take space.
 */
async function create(
  store: ObjectStore,
  id: ChainId,
  { link, content, parts }: { link: ChainLink; content: Uint8Array; parts: readonly ChainLink[] },
): Promise<boolean> {
  const wanted = parts.map(({ key }) => key)
  const found: string[] = []
  for await (const { key, firstOffset } of currentNames(store, id)) {
    if (firstOffset >= link.footer.nextOffset) break
    if (firstOffset >= link.footer.firstOffset) found.push(key)
  }
  if (found.join() !== wanted.join()) return false
  return (await store.create(link.key, content)) === 'created'
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0)
