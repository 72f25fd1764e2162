import { MeshError } from '../core/errors.ts'
import type { TopicPartition } from './port.ts'

/**
 * A transaction that its coordinator calls complete, and that partitions hold open: its markers were never written.
 *
 * Kafka 4.3.1 loses them (KAFKA-20734): a partition without a leader, as all are for a moment after a broker's `kill -9`, is
 * taken for a deleted one when the coordinator sends markers. The records then belong to the next transaction of the same producer
 * there, and share its fate: what was aborted is committed with it, or what was committed is aborted. So whoever takes a
 * transactional id ends what was left, as it was decided, before anything else is written.
 */

export type ProducerState = {
  /** As DescribeTransactions (KIP-664) names it: `Empty`, `Ongoing`, `PrepareCommit`, `CompleteAbort`, … */
  readonly state: string
  readonly producerId: bigint
  readonly producerEpoch: number
}

/** What settling asks of a cluster. */
export type TransactionWire = {
  /** What the coordinator knows of a transactional id; null: nothing. */
  describe(transactionalId: string): Promise<ProducerState | null>
  /** Partitions on which the producer has a transaction open, as their leaders see it. A topic that is not there has none. */
  openOn(producerId: bigint, topics: readonly string[]): Promise<TopicPartition[]>
  /** Writes an end to these partitions: a transaction without records. */
  end(transactionalId: string, own: ProducerState, at: EndAt): Promise<void>
}

export type EndAt = {
  readonly partitions: readonly TopicPartition[]
  /** Offsets of this group are among what is ended. */
  readonly group: string | null
  readonly outcome: 'commit' | 'abort'
}

export type SettleOptions = {
  readonly transactionalId: string
  /** Topics that the id's transactions write to. */
  readonly topics: readonly string[]
  readonly group?: string
}

export const GROUP_OFFSETS_TOPIC = '__consumer_offsets'

/**
 * Takes a transactional id by `init` and ends what a former transaction has left open. What the coordinator had decided is asked
 * before, since `init` makes it forget.
 */
export async function initSettled<T>(
  wire: TransactionWire,
  { transactionalId, topics, group }: SettleOptions,
  init: () => Promise<T>,
): Promise<T> {
  const former = await wire.describe(transactionalId)
  const taken = await init()
  if (former === null) return taken
  const looked = group === undefined ? topics : [...topics, GROUP_OFFSETS_TOPIC]
  const open = await wire.openOn(former.producerId, looked)
  if (open.length === 0) return taken
  const own = await wire.describe(transactionalId)
  const places = open.map(({ topic, partition }) => `${topic}/${partition}`).join(', ')
  if (own?.producerId !== former.producerId) {
    const message = `producer ${former.producerId} left a transaction open on ${places}, and the id has a new producer: end it with kafka-transactions.sh abort`
    throw new MeshError('MESH_KAFKA_UNAVAILABLE', message, { place: transactionalId })
  }
  await wire.end(transactionalId, own, {
    partitions: open.filter(({ topic }) => topic !== GROUP_OFFSETS_TOPIC),
    group: open.some(({ topic }) => topic === GROUP_OFFSETS_TOPIC) ? (group ?? null) : null,
    outcome: outcomeOf(former.state),
  })
  return taken
}

/**
 * `Empty`: an owner in between died before it had settled what it found, and what was decided is forgotten. To commit loses nothing: the
 * end may have been confirmed to somebody. What is committed so is read as any unknown outcome is.
 */
function outcomeOf(state: string): 'commit' | 'abort' {
  return state === 'CompleteCommit' || state === 'PrepareCommit' || state === 'Empty' ? 'commit' : 'abort'
}
