import type { ObjectStore } from './object-store.ts'

/**
 * A chain is the sequence of objects of one partition of one topic. Each object is named by its first offset and its footer says
 * where the next one begins, so names and footers alone show that the ranges tile. It begins at 0. A writer creates only the
 * name that follows the last footer, so at most one writer extends it, whoever believes to own the partition.
 *
 * Maintenance replaces neighbours by one object over their whole range, `<first>-<next>.parquet`, which stands for every object that
 * begins inside it from the moment it is there (chain-names.ts, docs/adr/0024).
 */
export type ChainId = {
  readonly layer: 'bronze' | 'silver'
  readonly stream: string
  /** Version of the derived layer; bronze takes raw's, 1. */
  readonly version: number
  /** The topic whose offsets the chain is over: raw for bronze, refined for silver. */
  readonly topicId: string
  readonly partition: number
}

const DIGITS = 20
const digits = (offset: number): string => String(offset).padStart(DIGITS, '0')
const KEY =
  /^(?:(bronze)\/([a-z][a-z0-9-]*)|(silver)\/([a-z][a-z0-9-]*)\/v(\d+))\/([^/]+)\/(\d+)\/(\d{20})(?:-(\d{20})(?:-dropped)?)?\.parquet$/

/** The folder of a chain, with its final slash. */
export function chainPrefix({ layer, stream, version, topicId, partition }: ChainId): string {
  return `${layer}/${stream}/${layer === 'silver' ? `v${version}/` : ''}${topicId}/${partition}/`
}

export function chainKey(id: ChainId, firstOffset: number): string {
  return `${chainPrefix(id)}${digits(firstOffset)}.parquet`
}

/** The object that stands for all of [firstOffset, nextOffset). */
export function mergedKey(id: ChainId, firstOffset: number, nextOffset: number): string {
  return `${chainPrefix(id)}${digits(firstOffset)}-${digits(nextOffset)}.parquet`
}

/** The empty object that books [firstOffset, nextOffset) as dropped. Its name leaves that of a merge of the same range free. */
export function droppedKey(id: ChainId, firstOffset: number, nextOffset: number): string {
  return mergedKey(id, firstOffset, nextOffset).replace('.parquet', '-dropped.parquet')
}

/** What a key says of its object. `nextOffset` is null where only the footer says it: the object is as a sink wrote it. */
export type ChainName = ChainId & {
  readonly key: string
  readonly firstOffset: number
  readonly nextOffset: number | null
}

/** The chain and offsets that a key names; null when it is no chain object. */
export function parseChainKey(key: string): ChainName | null {
  const parts = KEY.exec(key)
  if (!parts) return null
  const [, bronze, bronzeStream, , silverStream, version, topicId, partition, firstOffset, nextOffset] = parts
  return {
    layer: bronze ? 'bronze' : 'silver',
    stream: (bronzeStream ?? silverStream)!,
    version: Number(version ?? 1),
    topicId: topicId!,
    partition: Number(partition),
    key,
    firstOffset: Number(firstOffset),
    nextOffset: nextOffset === undefined ? null : Number(nextOffset),
  }
}

/** A name that counts, and those that it stands for: what begins inside its range. */
export type ChainPosition = { readonly name: ChainName; readonly superseded: readonly ChainName[] }

/**
 * The names of a chain, ascending. Of several that begin at one offset the longest counts, and of equal ones the dropped; what begins
 * inside its range does not, be it left by a merge, by a shorter one, or by a writer that was replaced long ago. So one create-only
 * write is a merge's commit point.
 */
export async function* chainPositions(
  keys: AsyncIterable<string>,
  foreign: (key: string) => void = () => {},
): AsyncGenerator<ChainPosition> {
  let open: { name: ChainName; superseded: ChainName[] } | null = null
  for await (const key of keys) {
    const name = parseChainKey(key)
    if (!name) {
      foreign(key)
      continue
    }
    const end: number = open?.name.nextOffset ?? 0
    // '-' sorts before '.': the merges of an offset come first, the shortest of them first, dropped before not.
    if (open && name.firstOffset === open.name.firstOffset && (name.nextOffset ?? 0) > end) {
      open = { name, superseded: [...open.superseded, open.name] }
    } else if (open && name.firstOffset < Math.max(end, open.name.firstOffset + 1)) {
      open.superseded.push(name)
    } else {
      if (open) yield open
      open = { name, superseded: [] }
    }
  }
  if (open) yield open
}

/** The names that count, ascending. */
export async function* currentNames(
  store: Pick<ObjectStore, 'list'>,
  id: ChainId,
  foreign?: (key: string) => void,
): AsyncGenerator<ChainName> {
  for await (const { name } of chainPositions(store.list(chainPrefix(id)), foreign)) yield name
}

/** The name that counts among those that begin at an offset, if any. */
export async function* namesFrom(
  store: Pick<ObjectStore, 'list'>,
  id: ChainId,
  firstOffset: number,
): AsyncGenerator<ChainName> {
  for await (const { name } of chainPositions(store.list(chainPrefix(id) + digits(firstOffset)))) yield name
}
