import { type CommitEvent, formatHash } from '@mesh/shared/core/books'
import { MAIN_LANE } from '@mesh/shared/core/coordinate'
import type { LandingTable, LedgerEntry } from './ports.ts'

export type CodeHashes = { readonly codeHash: string; readonly contractHash: string }

/** The announcement of a ledger entry. Offsets are refined offsets; `objects` names the table that holds the rows. */
export function landingCommitEvent(
  entry: LedgerEntry,
  table: LandingTable,
  { codeHash, contractHash, at }: CodeHashes & { readonly at: string },
): CommitEvent {
  return {
    layer: 'landing',
    stream: entry.stream,
    version: entry.version,
    lane: MAIN_LANE,
    topicId: entry.topicId,
    partition: entry.partition,
    firstOffset: entry.firstOffset,
    nextOffset: entry.nextOffset,
    counts: entry.counts,
    bytes: entry.bytes,
    objects: [table.table],
    minEventTime: entry.minEventTime,
    maxEventTime: entry.maxEventTime,
    hash: formatHash(entry.hash),
    highest: entry.highest,
    codeHash,
    contractHash,
    at,
  }
}
