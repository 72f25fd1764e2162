import { type ChainId, chainPrefix, parseChainKey } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'

export type Layer = ChainId['layer']

/** The chains of a layer of a stream, of every version and topic identity, found by the names in the lake. */
export async function chainsOf(store: ObjectStore, layer: Layer, stream: string): Promise<ChainId[]> {
  const found = new Map<string, ChainId>()
  for await (const key of store.list(`${layer}/${stream}/`)) {
    const name = parseChainKey(key)
    if (!name) continue
    const { version, topicId, partition } = name
    const id: ChainId = { layer, stream, version, topicId, partition }
    found.set(chainPrefix(id), id)
  }
  return [...found.values()]
}
