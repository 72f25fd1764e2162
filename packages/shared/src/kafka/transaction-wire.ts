import {
  type Admin,
  addOffsetsToTxnV3,
  addPartitionsToTxnV3,
  type Connection,
  describeProducersV0,
  describeTransactionsV0,
  endTxnV3,
  FindCoordinatorKeyTypes,
  metadataV12,
} from '@platformatic/kafka'
import { type AskAgain, answerNames, askAgain } from './ask-again.ts'
import type { TransactionWire } from './lost-markers.ts'
import type { TopicPartition } from './port.ts'

const UNKNOWN_TOPIC = 3
const NOT_FOUND = 'TRANSACTIONAL_ID_NOT_FOUND'
/** The coordinator ends a transaction in the background; the next request of the producer is refused until then. */
const ENDING: AskAgain = {
  passing: new Set([
    'CONCURRENT_TRANSACTIONS',
    'COORDINATOR_LOAD_IN_PROGRESS',
    'COORDINATOR_NOT_AVAILABLE',
    'NOT_COORDINATOR',
    'NOT_LEADER_OR_FOLLOWER',
    'LEADER_NOT_AVAILABLE',
  ]),
  pauseMs: { first: 50, most: 50 },
  forMs: 30_000,
}

/**
 * KIP-664's descriptions and the transaction requests of before KIP-890, whose end keeps the producer's epoch: kafkajs, whose session
 * it is, knows of no other.
 */
export function createTransactionWire(admin: () => Admin): TransactionWire {
  async function connectionTo(node: number): Promise<Connection> {
    const connection = (await admin().connectToBrokers([node])).get(node)
    if (!connection) throw new Error(`node ${node} is not in the cluster's metadata`)
    return connection
  }

  async function coordinator(transactionalId: string): Promise<Connection> {
    const found = await admin().findCoordinator({
      keyType: FindCoordinatorKeyTypes.TRANSACTION,
      keys: [transactionalId],
    })
    return connectionTo(found[0]!.nodeId)
  }

  /** Leader → the partitions it leads; the client's own metadata leaves internal topics out. */
  async function leaders(topics: readonly string[]): Promise<Map<number, TopicPartition[]>> {
    const [connection] = (await admin().connectToBrokers()).values()
    const answer = metadataV12.api.async(connection!, [...topics], false, false)
    const led = new Map<number, TopicPartition[]>()
    for (const { errorCode, name: topic, partitions } of (await answer.catch(answerOf)).topics) {
      if (errorCode === UNKNOWN_TOPIC) continue
      // What is wrong with the topic itself is what the client says.
      if (errorCode !== 0 || topic === null) await answer
      for (const { partitionIndex: partition, leaderId } of partitions) {
        if (leaderId < 0) throw passing(`${topic}/${partition} has no leader`)
        const own = led.get(leaderId) ?? []
        own.push({ topic: topic!, partition })
        led.set(leaderId, own)
      }
    }
    return led
  }

  async function openOnce(producerId: bigint, topics: readonly string[]): Promise<TopicPartition[]> {
    const open: TopicPartition[] = []
    for (const [node, led] of await leaders(topics)) {
      const byTopic = Map.groupBy(led, ({ topic }) => topic)
      const request = [...byTopic].map(([name, own]) => ({ name, partitionIndexes: own.map((p) => p.partition) }))
      const answer = await describeProducersV0.api.async(await connectionTo(node), request)
      for (const { name, partitions } of answer.topics)
        for (const { partitionIndex, activeProducers } of partitions)
          if (activeProducers.some((p) => p.producerId === producerId && p.currentTxnStartOffset >= 0n))
            open.push({ topic: name, partition: partitionIndex })
    }
    return open
  }

  return {
    describe: (transactionalId) =>
      patiently(async () => {
        const connection = await coordinator(transactionalId)
        try {
          const { transactionStates } = await describeTransactionsV0.api.async(connection, [transactionalId])
          const { transactionState: state, producerId, producerEpoch } = transactionStates[0]!
          return { state, producerId, producerEpoch }
        } catch (error) {
          if (answerNames(error).includes(NOT_FOUND)) return null
          throw error
        }
      }),
    openOn: (producerId, topics) => patiently(() => openOnce(producerId, topics)),
    async end(transactionalId, { producerId, producerEpoch }, { partitions, group, outcome }) {
      const topics = [...Map.groupBy(partitions, ({ topic }) => topic)].map(([name, own]) => ({
        name,
        partitions: own.map(({ partition }) => partition),
      }))
      const transaction = { transactionalId, producerId, producerEpoch, verifyOnly: false, topics }
      if (topics.length > 0)
        await patiently(async () => addPartitionsToTxnV3.api.async(await coordinator(transactionalId), [transaction]))
      if (group !== null)
        await patiently(async () =>
          addOffsetsToTxnV3.api.async(
            await coordinator(transactionalId),
            transactionalId,
            producerId,
            producerEpoch,
            group,
          ),
        )
      await patiently(async () =>
        endTxnV3.api.async(
          await coordinator(transactionalId),
          transactionalId,
          producerId,
          producerEpoch,
          outcome === 'commit',
        ),
      )
    },
  }
}

/** The client throws an answer that holds errors; the answer is in what it throws. */
function answerOf(error: unknown): metadataV12.MetadataResponse {
  const { response } = error as { response?: metadataV12.MetadataResponse }
  if (response?.topics === undefined) throw error
  return response
}

function passing(message: string): Error {
  return Object.assign(new Error(message), { apiId: 'LEADER_NOT_AVAILABLE' })
}

const patiently = <T>(ask: () => Promise<T>): Promise<T> => askAgain(ask, ENDING)
