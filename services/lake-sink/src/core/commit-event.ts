import type { CommitEvent } from '@mesh/shared/core/books'
import { MAIN_LANE } from '@mesh/shared/core/coordinate'
import type { ChainLink } from '@mesh/shared/lake/chain'

/** Of the bundle that the version follows; empty for bronze, which no code decides. */
export type CodeHashes = { readonly codeHash: string; readonly contractHash: string }
export const NO_CODE: CodeHashes = { codeHash: '', contractHash: '' }

/** The announcement of an object. `at` is RFC 3339. */
export function chainCommitEvent({ key, bytes, footer }: ChainLink, hashes: CodeHashes, at: string): CommitEvent {
  return {
    layer: footer.layer,
    stream: footer.stream,
    version: footer.version,
    lane: MAIN_LANE,
    topicId: footer.topicId,
    partition: footer.partition,
    firstOffset: footer.firstOffset,
    nextOffset: footer.nextOffset,
    counts: footer.counts,
    bytes,
    objects: [key],
    minEventTime: footer.minEventTime,
    maxEventTime: footer.maxEventTime,
    hash: footer.hash,
    ...(footer.layer === 'silver' ? { highest: footer.highest } : {}),
    codeHash: hashes.codeHash,
    contractHash: hashes.contractHash,
    at,
  }
}
