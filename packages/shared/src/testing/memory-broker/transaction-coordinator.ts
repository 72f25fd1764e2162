import type { Committed } from '../../kafka/port.ts'
import type { Scheduler } from '../../kafka/scheduler.ts'
import { BrokerError } from './broker-error.ts'

export type ProducerIdentity = { readonly transactionalId: string; readonly producerId: number; readonly epoch: number }

/** Where the end of a transaction is written: partitions' markers and groups' offsets. */
export type TransactionEnds = {
  mark(topic: string, partition: number, producer: ProducerIdentity, control: 'commit' | 'abort'): void
  commitOffset(group: string, place: string, committed: Committed): void
  /** How long (ms) after its end is decided a transaction's markers are written; 0 is at once. */
  markerDelay(): number
}

export type TransactionCoordinator = {
  /** A new epoch. Ends what a former holder has open: CONCURRENT_TRANSACTIONS until that is done. */
  init(transactionalId: string, timeoutMs: number): ProducerIdentity
  addPartition(producer: ProducerIdentity, topic: string, partition: number): void
  addOffsets(producer: ProducerIdentity, group: string): void
  commitOffset(producer: ProducerIdentity, group: string, place: string, committed: Committed): void
  end(producer: ProducerIdentity, control: 'commit' | 'abort'): void
  /** @throws BrokerError unless the partition is part of the producer's open transaction. */
  verify(producer: ProducerIdentity, topic: string, partition: number): void
  /** True while a decided transaction holds an offset of the place that is not visible yet. */
  holdsOffset(group: string, place: string): boolean
}

type State = {
  readonly producerId: number
  epoch: number
  phase: 'idle' | 'open' | 'ending'
  lastControl: 'commit' | 'abort' | null
  timeoutMs: number
  stopTimeout: () => void
  readonly partitions: Map<string, { topic: string; partition: number }>
  readonly offsets: Map<string, Map<string, Committed>>
}

/** Transactions by Kafka's protocol before KIP-890 (transaction.version 1), which is what clients without it speak. */
export function createTransactionCoordinator(
  scheduler: Scheduler,
  ends: TransactionEnds,
  nextProducerId: () => number,
): TransactionCoordinator {
  const states = new Map<string, State>()

  function current({ transactionalId, producerId, epoch }: ProducerIdentity): State {
    const state = states.get(transactionalId)
    if (!state || state.producerId !== producerId || state.epoch !== epoch)
      throw new BrokerError('INVALID_PRODUCER_EPOCH')
    return state
  }

  /** The producer's transaction, begun by the first thing that is added to it. */
  function opened(producer: ProducerIdentity): State {
    const state = current(producer)
    if (state.phase === 'ending') throw new BrokerError('CONCURRENT_TRANSACTIONS')
    if (state.phase === 'open') return state
    state.phase = 'open'
    state.stopTimeout = scheduler.after(state.timeoutMs, () => {
      state.epoch++
      finish(producer.transactionalId, state, 'abort')
    })
    return state
  }

  function ongoing(producer: ProducerIdentity): State {
    const state = current(producer)
    if (state.phase !== 'open') throw new BrokerError('INVALID_TXN_STATE')
    return state
  }

  function finish(transactionalId: string, state: State, control: 'commit' | 'abort'): void {
    state.stopTimeout()
    state.phase = 'ending'
    state.lastControl = control
    const producer = { transactionalId, producerId: state.producerId, epoch: state.epoch }
    const write = (): void => {
      for (const { topic, partition } of state.partitions.values()) ends.mark(topic, partition, producer, control)
      if (control === 'commit') {
        for (const [group, offsets] of state.offsets)
          for (const [place, committed] of offsets) ends.commitOffset(group, place, committed)
      }
      state.partitions.clear()
      state.offsets.clear()
      state.phase = 'idle'
    }
    const delay = ends.markerDelay()
    if (delay === 0) write()
    else scheduler.after(delay, write)
  }

  return {
    init(transactionalId, timeoutMs) {
      const state = states.get(transactionalId) ?? {
        producerId: nextProducerId(),
        epoch: -1,
        phase: 'idle',
        lastControl: null,
        timeoutMs,
        stopTimeout: () => undefined,
        partitions: new Map<string, { topic: string; partition: number }>(),
        offsets: new Map<string, Map<string, Committed>>(),
      }
      states.set(transactionalId, state)
      if (state.phase === 'open') {
        state.epoch++
        finish(transactionalId, state, 'abort')
        throw new BrokerError('CONCURRENT_TRANSACTIONS')
      }
      if (state.phase === 'ending') throw new BrokerError('CONCURRENT_TRANSACTIONS')
      state.epoch++
      state.timeoutMs = timeoutMs
      state.lastControl = null
      return { transactionalId, producerId: state.producerId, epoch: state.epoch }
    },
    addPartition(producer, topic, partition) {
      opened(producer).partitions.set(`${topic}/${partition}`, { topic, partition })
    },
    addOffsets(producer, group) {
      const { offsets } = opened(producer)
      offsets.set(group, offsets.get(group) ?? new Map<string, Committed>())
    },
    commitOffset(producer, group, place, committed) {
      const offsets = ongoing(producer).offsets.get(group)
      if (!offsets) throw new BrokerError('INVALID_TXN_STATE')
      offsets.set(place, committed)
    },
    end(producer, control) {
      const state = current(producer)
      // The request came again: it has been answered once.
      if (state.phase !== 'open' && state.lastControl === control) return
      if (state.phase !== 'open') throw new BrokerError('INVALID_TXN_STATE')
      finish(producer.transactionalId, state, control)
    },
    verify(producer, topic, partition) {
      if (!ongoing(producer).partitions.has(`${topic}/${partition}`)) throw new BrokerError('INVALID_TXN_STATE')
    },
    holdsOffset: (group, place) =>
      [...states.values()].some(({ phase, offsets }) => phase === 'ending' && offsets.get(group)?.has(place)),
  }
}
