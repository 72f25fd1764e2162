/** What a fetch response holds of one partition. Offsets and producer ids are 64-bit, as text, number or bigint-like. */
export type FilterInput = {
  readonly messages: readonly FetchedRecord[]
  readonly abortedTransactions?: readonly { readonly firstOffset: unknown; readonly producerId: unknown }[] | null
}

export type FetchedRecord = {
  readonly offset: unknown
  readonly key: Uint8Array | null
  readonly isControlRecord: boolean
  readonly batchContext: { readonly producerId?: unknown; readonly inTransaction?: boolean }
}

const ABORT_MARKER = 0

/**
 * Hides aborted records from a read_committed consumer. The broker lists aborted transactions by completion, so they are put
 * in order of their first offset, and every one that has begun is taken up; only a control record is a marker, whatever the
 * bytes of a data record's key. Source: Kafka's CompletedFetch#consumeAbortedTransactionsUpTo (a priority queue on firstOffset).
 */
export function filterAborted({ messages, abortedTransactions }: FilterInput): readonly FetchedRecord[] {
  if (!abortedTransactions || abortedTransactions.length === 0) return messages
  const waiting = abortedTransactions
    .map(({ firstOffset, producerId }) => ({
      firstOffset: BigInt(String(firstOffset)),
      producerId: String(producerId),
    }))
    .sort((a, b) => (a.firstOffset < b.firstOffset ? -1 : a.firstOffset > b.firstOffset ? 1 : 0))
  const aborting = new Set<string>()
  let next = 0
  return messages.filter((message) => {
    const offset = BigInt(String(message.offset))
    while (next < waiting.length && offset >= waiting[next]!.firstOffset) aborting.add(waiting[next++]!.producerId)
    const producerId = String(message.batchContext.producerId)
    if (isAbortMarker(message)) {
      aborting.delete(producerId)
      return true
    }
    return message.isControlRecord || !message.batchContext.inTransaction || !aborting.has(producerId)
  })
}

/** A control record's key: version int16, type int16 (0 = abort, 1 = commit). */
function isAbortMarker({ isControlRecord, key }: FetchedRecord): boolean {
  return isControlRecord && key !== null && key.byteLength >= 4 && ((key[2]! << 8) | key[3]!) === ABORT_MARKER
}
