import type * as KafkaJs from 'kafkajs'
import { follow, readRanges } from './bounded-reads.ts'
import { createKafkaJsAdmin } from './kafkajs-admin.ts'
import { kafkajs } from './kafkajs-client.ts'
import { createKafkaJsConsumer } from './kafkajs-consumer.ts'
import { createKafkaJsProducer } from './kafkajs-producer.ts'
import { createKafkaJsTransactionClient } from './kafkajs-transactions.ts'
import type { GroupConsumer, GroupConsumerOptions, KafkaPort } from './port.ts'
import { createTransactionalProducer } from './transactional-producer.ts'

export type KafkaConnection = { readonly brokers: readonly string[]; readonly clientId: string }

const REQUEST_TIMEOUT_MS = 20_000
const CONNECT_TIMEOUT_MS = 5000

/** The Kafka port over kafkajs. Connections are made when first needed. */
export function connectKafka({ brokers, clientId }: KafkaConnection): KafkaPort {
  const client: KafkaJs.Kafka = new kafkajs.Kafka({
    brokers: [...brokers],
    clientId,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    // What matters reaches the service as an error; kafkajs's own log repeats every retry.
    logLevel: kafkajs.logLevel.NOTHING,
  })
  const admin = createKafkaJsAdmin(client, brokers, clientId)
  const producers = new Set<{ close(): Promise<void> }>()
  const consumer = (options: GroupConsumerOptions): GroupConsumer => createKafkaJsConsumer(client, admin, options)
  return {
    admin,
    consumer,
    async producer(options) {
      const producer = await createKafkaJsProducer(client, options)
      producers.add(producer)
      return producer
    },
    async transactional(options) {
      const transactions = createKafkaJsTransactionClient(client, admin, options)
      const producer = await createTransactionalProducer(transactions, options)
      producers.add(producer)
      return producer
    },
    readRanges: (topic, ranges, onBatch) => readRanges(consumer, admin, topic, { ranges, onBatch }),
    follow: (topic, options) => follow(consumer, admin, topic, options),
    async close() {
      await Promise.all([...producers].map((producer) => producer.close()))
      await admin.close()
    },
  }
}
