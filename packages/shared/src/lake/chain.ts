import type { Counts } from '../core/books.ts'
import type { HighestSrc } from '../core/coordinate.ts'
import { MeshError } from '../core/errors.ts'
import type { ObjectStore } from './object-store.ts'
import { type ParquetFooter, readFooter } from './parquet.ts'

/**
 * A chain is the sequence of objects of one partition of one topic. Each object is named by its first offset and its footer says
 * where the next one begins, so names and footers alone show that the ranges tile. It begins at 0. A writer creates only the
 * name that follows the last footer, so at most one writer extends it, whoever believes to own the partition.
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

/** What an object's footer holds under `mesh.chain`. `counts`, `hash` and `highest` are cumulative from 0 to `nextOffset`. */
export type ChainFooter = ChainId & {
  /** `hole`: retention took the range before it was read; the object has no rows. */
  readonly kind: 'records' | 'hole'
  readonly firstOffset: number
  readonly nextOffset: number
  /** Of this object alone. */
  readonly rows: number
  /** Bronze: `ok` records and `hole` offsets. Silver: one `ok` and `outputs` per row, `redelivered` records, `hole` offsets. */
  readonly counts: Counts
  /** Sum of raw record hashes (bronze), of `_hash` (silver). */
  readonly hash: string
  /** Silver: the highest mesh-src per sequence; empty for bronze. */
  readonly highest: HighestSrc
  /** Epoch ms over this object's rows; null where none carries one. */
  readonly minEventTime: number | null
  readonly maxEventTime: number | null
}

/** `bytes`: size of the object. */
export type ChainLink = { readonly key: string; readonly bytes: number; readonly footer: ChainFooter }

export const CHAIN_FOOTER = 'mesh.chain'
const DIGITS = 20
const KEY = /^(?:(bronze)\/([a-z][a-z0-9-]*)|(silver)\/([a-z][a-z0-9-]*)\/v(\d+))\/([^/]+)\/(\d+)\/(\d{20})\.parquet$/

/** The folder of a chain, with its final slash. */
export function chainPrefix({ layer, stream, version, topicId, partition }: ChainId): string {
  return `${layer}/${stream}/${layer === 'silver' ? `v${version}/` : ''}${topicId}/${partition}/`
}

export function chainKey(id: ChainId, firstOffset: number): string {
  return `${chainPrefix(id)}${String(firstOffset).padStart(DIGITS, '0')}.parquet`
}

/** The chain and first offset that a key names; null when it is no chain object. */
export function parseChainKey(key: string): (ChainId & { readonly firstOffset: number }) | null {
  const parts = KEY.exec(key)
  if (!parts) return null
  const [, bronze, bronzeStream, , silverStream, version, topicId, partition, firstOffset] = parts
  return {
    layer: bronze ? 'bronze' : 'silver',
    stream: (bronzeStream ?? silverStream)!,
    version: Number(version ?? 1),
    topicId: topicId!,
    partition: Number(partition),
    firstOffset: Number(firstOffset),
  }
}

export function formatChainFooter(footer: ChainFooter): Record<string, string> {
  return { [CHAIN_FOOTER]: JSON.stringify(footer) }
}

/** The object that starts at `firstOffset`; null when there is none. @throws MeshError MESH_LAKE_CHAIN_BROKEN, MESH_LAKE_UNAVAILABLE */
export async function readLink(store: ObjectStore, id: ChainId, firstOffset: number): Promise<ChainLink | null> {
  const key = chainKey(id, firstOffset)
  const found = await readFooter(store, key)
  return found && { key, bytes: found.bytes, footer: checkFooter(key, found, id, firstOffset) }
}

/**
 * The last object of a chain, null when it is empty. Walks forward from the object that starts at `hint`, or from the last name
 * listed. @throws MeshError MESH_LAKE_CHAIN_BROKEN when the hinted object is gone.
 */
export async function walkChain(store: ObjectStore, id: ChainId, hint?: number): Promise<ChainLink | null> {
  const from = hint ?? (await lastListed(store, id))
  if (from === null) return null
  let last = await readLink(store, id, from)
  if (!last) throw broken('an object that group metadata or a listing names is not there', chainKey(id, from))
  for (let next: ChainLink | null = last; next; next = await readLink(store, id, last.footer.nextOffset)) last = next
  return last
}

/** Every object from 0 on, checked to tile. @throws MeshError MESH_LAKE_CHAIN_BROKEN at the first gap, overlap or foreign object. */
export async function* listChain(store: ObjectStore, id: ChainId): AsyncGenerator<ChainLink> {
  let expected = 0
  for await (const key of store.list(chainPrefix(id))) {
    const named = parseChainKey(key)
    if (named?.firstOffset !== expected) {
      const problem = named === null ? 'is foreign' : named.firstOffset > expected ? 'leaves a gap' : 'overlaps'
      throw broken(`the object ${problem}: the chain is at offset ${expected}`, key)
    }
    const link = await readLink(store, id, expected)
    if (!link) throw broken('the object disappeared while the chain was read', key)
    expected = link.footer.nextOffset
    yield link
  }
}

/** First offsets of a chain's objects by their names alone, ascending. */
export async function* chainOffsets(store: ObjectStore, id: ChainId): AsyncGenerator<number> {
  for await (const key of store.list(chainPrefix(id))) {
    const named = parseChainKey(key)
    if (named) yield named.firstOffset
  }
}

async function lastListed(store: ObjectStore, id: ChainId): Promise<number | null> {
  let last: number | null = null
  for await (const offset of chainOffsets(store, id)) last = offset
  return last
}

function checkFooter(key: string, found: ParquetFooter, id: ChainId, firstOffset: number): ChainFooter {
  const text = found.keyValues[CHAIN_FOOTER]
  if (text === undefined) throw broken('the object has no mesh.chain in its footer', key)
  let footer: ChainFooter
  try {
    footer = JSON.parse(text) as ChainFooter
  } catch (cause) {
    throw broken('mesh.chain in the footer is not JSON', key, cause)
  }
  const same =
    chainPrefix(footer) === chainPrefix(id) && footer.firstOffset === firstOffset && footer.rows === found.rows
  if (!same || !Number.isSafeInteger(footer.nextOffset) || footer.nextOffset <= firstOffset) {
    throw broken('the footer contradicts the name of its object', key)
  }
  return footer
}

function broken(message: string, place: string, cause?: unknown): MeshError {
  return new MeshError('MESH_LAKE_CHAIN_BROKEN', message, { place, cause })
}
