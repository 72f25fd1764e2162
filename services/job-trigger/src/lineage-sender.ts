import { bytesText } from '@mesh/shared/core/record'
import { retryDelayMs } from '@mesh/shared/core/retry-policy'
import type { AssignedPartition, Assignment } from '@mesh/shared/kafka/port'
import { type LineageReceiver, RECEIVER_RETRY } from './adapters/lineage-receiver.ts'
import type { Clock } from './core/ports.ts'

export type LineageSenderOptions = {
  readonly receiver: LineageReceiver
  readonly clock: Clock
  readonly jitter: () => number
  readonly signal: AbortSignal
  readonly delivered: (events: number) => void
  readonly refused: (reason: string, offset: number) => void
  readonly away: (reason: string) => void
}

/** Below the time after which a handler's call counts as stuck. */
const MAX_PATIENCE_MS = 120_000

/** The receiver was away too long for one call of the handler: what is not delivered is read again. */
export class ReceiverAway extends Error {
  override readonly name = 'ReceiverAway'
}

/** `mesh.lineage` → an OpenLineage receiver, in order. The offset is committed after the receiver has taken what lies before it. */
export function createLineageSender(assigned: AssignedPartition, options: LineageSenderOptions): Assignment {
  const position = Math.max(assigned.committed?.offset ?? 0, assigned.logStartOffset)
  const handler = {
    async process(batch: {
      readonly records: readonly { readonly value: Uint8Array | null; readonly offset: number }[]
      readonly nextOffset: number
    }) {
      let delivered = 0
      for (const { value, offset } of batch.records) {
        if (value === null) continue
        if (!(await deliver(bytesText(value), offset)))
          return delivered > 0 ? { nextOffset: offset, metadata: '' } : null
        delivered++
      }
      options.delivered(delivered)
      return { nextOffset: batch.nextOffset, metadata: '' }
    },
  }

  /** False when the process ends meanwhile. @throws ReceiverAway */
  async function deliver(event: string, offset: number): Promise<boolean> {
    const until = options.clock.now() + MAX_PATIENCE_MS
    for (let attempt = 1; !options.signal.aborted; attempt++) {
      const answer = await options.receiver(event)
      if (answer.outcome === 'refused') options.refused(answer.reason, offset)
      if (answer.outcome !== 'away') return true
      options.away(answer.reason)
      if (options.clock.now() >= until) throw new ReceiverAway(answer.reason)
      await options.clock.wait(retryDelayMs(RECEIVER_RETRY, attempt, options.jitter())!, options.signal)
    }
    return false
  }
  return { position, handler }
}
