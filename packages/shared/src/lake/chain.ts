import type { Counts } from '../core/books.ts'
import type { HighestSrc } from '../core/coordinate.ts'
import { MeshError } from '../core/errors.ts'
import { type ChainId, type ChainName, chainKey, chainPrefix, currentNames, namesFrom } from './chain-names.ts'
import type { ObjectStore } from './object-store.ts'
import { type ParquetFooter, readFooter } from './parquet.ts'

/** What an object's footer holds under `mesh.chain`. `counts`, `hash` and `highest` are cumulative from 0 to `nextOffset`. */
export type ChainFooter = ChainId & {
  /**
   * `hole`: the topic's retention took the range before it was read. `dropped`: the lake's retention took it, and the books still count
   * what it held. Neither has rows.
   */
  readonly kind: 'records' | 'hole' | 'dropped'
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
  /** Epoch ms: Kafka's newest timestamp over this object's records; absent in objects of older sinks, null where there is none. */
  readonly maxTimestamp?: number | null
  /** Of an object that maintenance made: when, as epoch ms, and of how many objects. */
  readonly merged?: { readonly at: number; readonly objects: number }
}

/** `bytes`: size of the object. */
export type ChainLink = { readonly key: string; readonly bytes: number; readonly footer: ChainFooter }

export const CHAIN_FOOTER = 'mesh.chain'
export function formatChainFooter(footer: ChainFooter): Record<string, string> {
  return { [CHAIN_FOOTER]: JSON.stringify(footer) }
}

/**
 * The object that counts at `firstOffset`; null when there is none.
 * @throws MeshError MESH_LAKE_CHAIN_BROKEN, MESH_LAKE_UNAVAILABLE
 */
export async function readLink(store: ObjectStore, id: ChainId, firstOffset: number): Promise<ChainLink | null> {
  for await (const name of namesFrom(store, id, firstOffset)) return readNamed(store, name)
  return null
}

/** The object of a name; null when it is gone. @throws MeshError MESH_LAKE_CHAIN_BROKEN, MESH_LAKE_UNAVAILABLE */
export async function readNamed(store: ObjectStore, name: ChainName): Promise<ChainLink | null> {
  const found = await readFooter(store, name.key)
  return found && { key: name.key, bytes: found.bytes, footer: checkFooter(found, name) }
}

/**
 * The last object of a chain, null when it is empty. Walks forward from the object that starts at `hint`, or from the last name
 * listed. @throws MeshError MESH_LAKE_CHAIN_BROKEN when the hinted object is gone and none stands for it.
 */
export async function walkChain(store: ObjectStore, id: ChainId, hint?: number): Promise<ChainLink | null> {
  const first = hint === undefined ? await lastListed(store, id) : await holding(store, id, hint)
  for (let last = first; last; ) {
    const next = await readLink(store, id, last.footer.nextOffset)
    if (!next) return last
    last = next
  }
  return null
}

/** Every current object from 0 on, checked to tile. @throws MeshError MESH_LAKE_CHAIN_BROKEN at the first gap, overlap or foreign object. */
export async function* listChain(store: ObjectStore, id: ChainId): AsyncGenerator<ChainLink> {
  let expected = 0
  const foreign = (key: string): never => {
    throw broken(`the object is foreign: the chain is at offset ${expected}`, key)
  }
  for await (const name of currentNames(store, id, foreign)) {
    if (name.firstOffset !== expected) {
      const problem = name.firstOffset > expected ? 'leaves a gap' : 'overlaps'
      throw broken(`the object ${problem}: the chain is at offset ${expected}`, name.key)
    }
    const link = await readNamed(store, name)
    if (!link) throw broken('the object disappeared while the chain was read', name.key)
    expected = link.footer.nextOffset
    yield link
  }
}

async function lastListed(store: ObjectStore, id: ChainId): Promise<ChainLink | null> {
  let last: ChainName | null = null
  for await (const name of currentNames(store, id)) last = name
  return last && present(await readNamed(store, last), last.key)
}

/** The object that starts at an offset; where maintenance has taken it, the one that stands for it. */
async function holding(store: ObjectStore, id: ChainId, offset: number): Promise<ChainLink> {
  const found = await readLink(store, id, offset)
  if (found) return found
  for await (const name of currentNames(store, id)) {
    if (name.firstOffset > offset) break
    if (offset < (name.nextOffset ?? 0)) return present(await readNamed(store, name), name.key)
  }
  return present(null, chainKey(id, offset))
}

function present(link: ChainLink | null, key: string): ChainLink {
  if (!link) throw broken('an object that group metadata or a listing names is not there', key)
  return link
}

function checkFooter(found: ParquetFooter, name: ChainName): ChainFooter {
  const { key, firstOffset } = name
  const text = found.keyValues[CHAIN_FOOTER]
  if (text === undefined) throw broken('the object has no mesh.chain in its footer', key)
  let footer: ChainFooter
  try {
    footer = JSON.parse(text) as ChainFooter
  } catch (cause) {
    throw broken('mesh.chain in the footer is not JSON', key, cause)
  }
  const same =
    chainPrefix(footer) === chainPrefix(name) &&
    footer.firstOffset === firstOffset &&
    footer.rows === found.rows &&
    footer.nextOffset === (name.nextOffset ?? footer.nextOffset)
  if (!same || !Number.isSafeInteger(footer.nextOffset) || footer.nextOffset <= firstOffset) {
    throw broken('the footer contradicts the name of its object', key)
  }
  return footer
}

function broken(message: string, place: string, cause?: unknown): MeshError {
  return new MeshError('MESH_LAKE_CHAIN_BROKEN', message, { place, cause })
}
