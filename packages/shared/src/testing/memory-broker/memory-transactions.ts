import { MeshError } from '../../core/errors.ts'
import type { TransactionalOptions } from '../../kafka/port.ts'
import { sleep } from '../../kafka/scheduler.ts'
import {
  DEFAULT_TRANSACTION_TIMEOUT_MS,
  type TransactionClient,
  type TransactionSession,
} from '../../kafka/transactional-producer.ts'
import type { Broker } from './broker.ts'
import { BrokerError, type BrokerErrorType, isBrokerError } from './broker-error.ts'
import type { Endpoint } from './endpoint.ts'
import { createSequences, produce } from './memory-producer.ts'
import type { ProducerIdentity } from './transaction-coordinator.ts'

const RETRY_MS = 20

/** The transactional client over the broker in memory, with the habits of a real one: only what may be repeated is repeated. */
export function createMemoryTransactionClient(
  broker: Broker,
  endpoint: Endpoint,
  { transactionalId, group, timeoutMs = DEFAULT_TRANSACTION_TIMEOUT_MS }: TransactionalOptions,
): TransactionClient {
  const { transactions, groups } = broker

  /** Repeats a request for as long as its answer says that a transaction is still ending, or none comes. */
  async function patiently<T>(ask: () => Promise<T>, ...types: BrokerErrorType[]): Promise<T> {
    const deadline = endpoint.scheduler.now() + timeoutMs
    for (;;) {
      try {
        return await ask()
      } catch (error) {
        if (!isBrokerError(error, ...types) || endpoint.scheduler.now() > deadline) throw fencing(error)
        await sleep(endpoint.scheduler, RETRY_MS)
      }
    }
  }

  function fencing(error: unknown): unknown {
    if (!isBrokerError(error, 'INVALID_PRODUCER_EPOCH')) return error
    const options = { place: transactionalId, cause: error }
    return new MeshError('MESH_KAFKA_FENCED', 'the transactional id has another owner', options)
  }

  /**
   * A request that was given up on may still be under way. On a connection that holds it is done before its repetition; one that broke
   * ends the session. Here each one that is lost is of a connection that broke.
   */
  function sessionOf(producer: ProducerIdentity): TransactionSession {
    const sequences = createSequences(producer.producerId, producer.epoch, true)
    return {
      async write(writes) {
        await patiently(
          () =>
            endpoint.call('add-to-transaction', () => {
              for (const { topic, records } of writes)
                for (const { partition } of records) transactions.addPartition(producer, topic, partition)
            }),
          'CONCURRENT_TRANSACTIONS',
        )
        const verify = (topic: string, partition: number): void => transactions.verify(producer, topic, partition)
        return patiently(() => produce(broker, endpoint, writes, sequences, verify))
      },
      async commitOffset(topic, partition, { nextOffset, metadata }) {
        await patiently(
          () => endpoint.call('add-to-transaction', () => transactions.addOffsets(producer, group!)),
          'CONCURRENT_TRANSACTIONS',
        )
        const committed = { offset: nextOffset, metadata }
        await patiently(
          () =>
            endpoint.call('txn-offset-commit', () =>
              transactions.commitOffset(producer, group!, `${topic}/${partition}`, committed),
            ),
          'CONCURRENT_TRANSACTIONS',
        )
      },
      commit: () => patiently(() => endpoint.call('end-transaction', () => transactions.end(producer, 'commit'))),
      discard: () => Promise.resolve(),
    }
  }

  return {
    scheduler: endpoint.scheduler,
    async open() {
      const init = (): Promise<ProducerIdentity> =>
        endpoint.call('init-producer', () => transactions.init(transactionalId, timeoutMs))
      return sessionOf(await patiently(init, 'CONCURRENT_TRANSACTIONS', 'REQUEST_TIMED_OUT'))
    },
    committed: (topic, partition, stable) =>
      patiently(
        () =>
          endpoint.call('offset-fetch', () => {
            const place = `${topic}/${partition}`
            if (stable && transactions.holdsOffset(group!, place)) throw new BrokerError('UNSTABLE_OFFSET_COMMIT')
            return groups.committed(group!).get(place) ?? null
          }),
        'REQUEST_TIMED_OUT',
        'UNSTABLE_OFFSET_COMMIT',
      ),
  }
}
