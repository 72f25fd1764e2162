import type { ChainLink } from '@mesh/shared/lake/chain'

export type MergeLimits = {
  /** About how large a merged object gets. */
  readonly targetBytes: number
  /** Epoch ms: records that Kafka took in later are left alone. */
  readonly before: number
}

/** Neighbours that become one object, and what the books held before the first of them. */
export type Merge = { readonly before: ChainLink | null; readonly links: readonly ChainLink[] }

/**
 * Which neighbours of a chain are worth merging. The last object is never among them, so that a writer finds the chain's end as it left
 * it; nor are holes, whose place is part of the books, nor objects of half the target: they would be written again at every pass.
 */
export function planMerges(chain: readonly ChainLink[], { targetBytes, before }: MergeLimits): Merge[] {
  const merges: Merge[] = []
  let open: ChainLink[] = []
  let bytes = 0
  const close = (end: number): void => {
    if (open.length > 1) merges.push({ before: chain[end - open.length - 1] ?? null, links: open })
    open = []
    bytes = 0
  }
  for (const [i, link] of chain.slice(0, -1).entries()) {
    const { kind, maxTimestamp } = link.footer
    const young = (maxTimestamp ?? Number.NEGATIVE_INFINITY) >= before
    if (kind !== 'records' || young || link.bytes * 2 >= targetBytes) {
      close(i)
      continue
    }
    if (bytes + link.bytes > targetBytes) close(i)
    open.push(link)
    bytes += link.bytes
  }
  close(chain.length - 1)
  return merges
}
