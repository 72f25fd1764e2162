import type * as KafkaJs from 'kafkajs'
import { isMeshError, MeshError } from '../core/errors.ts'
import type { RecordToSend } from '../core/record.ts'
import { recordBytes } from '../core/record.ts'
import { answerNames, askAgain } from './ask-again.ts'
import type { KafkaJsAdmin } from './kafkajs-admin.ts'
import { isRefusedAsTooLarge, kafkajs, type ProduceAnswer } from './kafkajs-client.ts'
import { CODECS, wireRecord } from './kafkajs-producer.ts'
import { initSettled } from './lost-markers.ts'
import type { TopicWrite, TransactionalOptions } from './port.ts'
import { realScheduler } from './scheduler.ts'
import { createSessionSockets, type SessionSockets } from './session-sockets.ts'
import {
  DEFAULT_TRANSACTION_TIMEOUT_MS,
  type TransactionClient,
  type TransactionSession,
} from './transactional-producer.ts'

/** The coordinator ends a former transaction in the background; until then it answers CONCURRENT_TRANSACTIONS. */
const ENDING = { passing: new Set(['CONCURRENT_TRANSACTIONS']), pauseMs: { first: 20, most: 200 } }
const SEND_TIMEOUT_MS = 15_000
/** A produce request of more is split; all of it is one transaction. */
const MAX_REQUEST_BYTES = 900_000
const FENCED = new Set(['INVALID_PRODUCER_EPOCH', 'INVALID_PRODUCER_ID_MAPPING', 'PRODUCER_FENCED'])

/**
 * kafkajs's transactions for `createTransactionalProducer`. Every session has a producer object of its own: after a failed end
 * of a transaction kafkajs's cannot be used again.
 */
export function createKafkaJsTransactionClient(
  connect: ConnectKafkaJs,
  admin: Pick<KafkaJsAdmin, 'committed' | 'stableCommitted' | 'transactions'>,
  options: TransactionalOptions,
): TransactionClient {
  const { transactionalId, topics, group } = options
  const timeoutMs = options.timeoutMs ?? DEFAULT_TRANSACTION_TIMEOUT_MS
  const compression = kafkajs.CompressionTypes[CODECS[options.compression ?? 'zstd']]
  const patiently = <T>(ask: () => Promise<T>): Promise<T> => askAgain(ask, { ...ENDING, forMs: timeoutMs })

  async function open(): Promise<TransactionSession> {
    const sockets = createSessionSockets()
    const producer = connect(sockets.factory).producer({
      transactionalId,
      transactionTimeout: timeoutMs,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      retry: { retries: 6, initialRetryTime: 100, maxRetryTime: 2000 },
    })
    try {
      await producer.connect()
      // kafkajs initialises the id with the first transaction.
      const init = (): Promise<KafkaJs.Transaction> => patiently(() => producer.transaction())
      const settling = { transactionalId, topics, ...(group === undefined ? {} : { group }) }
      const first = await initSettled(admin.transactions, settling, init)
      return sessionOf(producer, first, sockets)
    } catch (error) {
      await producer.disconnect().catch(() => undefined)
      throw errorOf(error)
    }
  }

  function sessionOf(
    producer: KafkaJs.Producer,
    first: KafkaJs.Transaction,
    sockets: SessionSockets,
  ): TransactionSession {
    let transaction: KafkaJs.Transaction | null = first

    async function current(): Promise<KafkaJs.Transaction> {
      // A broker that went away may have lost the markers of the last transaction: it is settled before another one is laid over it.
      if (sockets.isBroken()) throw new Error('a connection broke since the session began')
      return (transaction ??= await producer.transaction())
    }

    async function send(topic: string, records: readonly RecordToSend[]): Promise<number> {
      const open = await current()
      const [answer] = (await patiently(() =>
        sockets.unlessBroken(
          open.sendBatch({
            acks: -1,
            timeout: SEND_TIMEOUT_MS,
            compression,
            topicMessages: [{ topic, messages: records.map(wireRecord) }],
          }),
        ),
      )) as ProduceAnswer[]
      if (!answer) throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'the answer lacks an offset', { place: topic })
      if (isRefusedAsTooLarge(answer)) {
        const message = 'the broker refused the record batch as too large'
        throw new MeshError('MESH_KAFKA_RECORD_TOO_LARGE', message, { place: topic })
      }
      return Number(answer.baseOffset)
    }

    /**
     * One request after another, each to one partition: kafkajs repeats a request to several brokers as a whole when one of them
     * fails, and what another has in flight would be written twice.
     */
    async function writeTopic({ topic, records }: TopicWrite): Promise<number[]> {
      const offsets = new Map<RecordToSend, number>()
      for (const [, own] of Map.groupBy(records, ({ partition }) => partition)) {
        for (const chunk of chunksOf(own)) {
          const base = await send(topic, chunk)
          for (const [i, record] of chunk.entries()) offsets.set(record, base + i)
        }
      }
      return records.map((record) => offsets.get(record)!)
    }

    return {
      async write(writes) {
        try {
          const offsets: number[][] = []
          for (const write of writes) offsets.push(await writeTopic(write))
          return offsets
        } catch (error) {
          throw errorOf(error)
        }
      },
      async commitOffset(topic, partition, { nextOffset, metadata }) {
        const open = await current()
        const partitions = [{ partition, offset: String(nextOffset), metadata }]
        const topics = [{ topic, partitions }]
        try {
          await patiently(() => sockets.unlessBroken(open.sendOffsets({ consumerGroupId: group!, topics })))
        } catch (error) {
          throw errorOf(error)
        }
      },
      async commit() {
        const ending = await current()
        transaction = null
        try {
          await ending.commit()
        } catch (error) {
          throw errorOf(error)
        }
      },
      discard: () => producer.disconnect(),
    }
  }

  function errorOf(error: unknown): unknown {
    if (isMeshError(error) || !answerNames(error).some((name) => FENCED.has(name))) return error
    const message = 'the transactional id has another owner'
    return new MeshError('MESH_KAFKA_FENCED', message, { place: transactionalId, cause: error })
  }

  return {
    scheduler: realScheduler,
    open,
    async committed(topic, partition, stable) {
      if (stable) return admin.stableCommitted(group!, topic, partition)
      return (await admin.committed(group!, topic)).get(partition) ?? null
    },
  }
}

/** A kafkajs client whose connections come from this factory. */
export type ConnectKafkaJs = (sockets: KafkaJs.ISocketFactory) => KafkaJs.Kafka

/** Cuts records so that each part fits a request; a record that does not fit alone is left to the broker. */
function* chunksOf(records: readonly RecordToSend[]): Generator<RecordToSend[]> {
  let chunk: RecordToSend[] = []
  let bytes = 0
  for (const record of records) {
    const size = recordBytes(record)
    if (chunk.length > 0 && bytes + size > MAX_REQUEST_BYTES) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(record)
    bytes += size
  }
  if (chunk.length > 0) yield chunk
}
