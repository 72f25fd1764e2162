import { readBronzeRecords } from '@mesh/shared/lake/bronze'
import { listChain } from '@mesh/shared/lake/chain'
import type { ChainId } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import type { History, LakePartition } from '../core/ports.ts'

/** Bronze as a source of history. */
export function createBronzeSource(store: ObjectStore): Pick<History, 'lakeCover' | 'readLake'> {
  async function lakeCover(id: LakePartition): ReturnType<History['lakeCover']> {
    let nextOffset = 0
    let droppedTo = 0
    const holes: { from: number; to: number }[] = []
    for await (const { footer } of listChain(store, chainOf(id))) {
      if (footer.kind === 'hole') holes.push({ from: footer.firstOffset, to: footer.nextOffset })
      if (footer.kind === 'dropped') droppedTo = footer.nextOffset
      nextOffset = footer.nextOffset
    }
    return { nextOffset, droppedTo, holes }
  }

  return { lakeCover, readLake: (id, range) => readBronzeRecords(store, { ...id, ...range }) }
}

const chainOf = (id: LakePartition): ChainId => ({ ...id, layer: 'bronze', version: 1 })
