import type * as KafkaJs from 'kafkajs'
import { MeshError } from '../core/errors.ts'
import { follow, readRanges } from './bounded-reads.ts'
import { type KafkaConnection, PRODUCER_CLIENTS, type ProducerClient } from './connection.ts'
import { createLagMeter, type PartitionLag } from './consumer-lag.ts'
import { createIdempotentProducer } from './idempotent-producer.ts'
import { createKafkaJsAdmin } from './kafkajs-admin.ts'
import { kafkajs } from './kafkajs-client.ts'
import { createKafkaJsConsumer } from './kafkajs-consumer.ts'
import { createKafkaJsProducer } from './kafkajs-producer.ts'
import { createKafkaJsTransactionClient } from './kafkajs-transactions.ts'
import { followPartitions } from './partition-follower.ts'
import { connectProduceWire } from './platformatic-wire.ts'
import type { GroupConsumer, GroupConsumerOptions, KafkaPort, Producer, ProducerOptions } from './port.ts'
import { createTransactionalProducer } from './transactional-producer.ts'

export type ConnectedKafka = KafkaPort & {
  /** How far behind the group consumers of this connection are. */
  lag(): Promise<readonly PartitionLag[]>
}

const REQUEST_TIMEOUT_MS = 20_000
const CONNECT_TIMEOUT_MS = 5000

/** @throws MeshError MESH_CONFIG_INVALID for a name that is none of PRODUCER_CLIENTS. */
export function producerClient(name: string): ProducerClient {
  const known = PRODUCER_CLIENTS.find((client) => client === name)
  if (known) return known
  throw new MeshError(
    'MESH_CONFIG_INVALID',
    `MESH_KAFKA_PRODUCER=${name}: expected one of ${PRODUCER_CLIENTS.join(', ')}`,
  )
}

/** The Kafka port, with the client that does best in each role. Connections are made when first needed. */
export function connectKafka(connection: KafkaConnection): ConnectedKafka {
  const { brokers, clientId, requestTimeoutMs = REQUEST_TIMEOUT_MS, tls, sasl } = connection
  // The other client's connections are plain: a cluster that asks for more is written to by kafkajs.
  const writer = tls || sasl ? 'kafkajs' : (connection.producer ?? 'platformatic')
  const connect = (sockets?: KafkaJs.ISocketFactory): KafkaJs.Kafka =>
    new kafkajs.Kafka({
      brokers: [...brokers],
      clientId,
      ...(sockets ? { socketFactory: sockets } : {}),
      ...(tls ? { ssl: tls === true ? true : { ...tls } } : {}),
      ...(sasl ? { sasl: sasl as KafkaJs.SASLOptions } : {}),
      requestTimeout: requestTimeoutMs,
      connectionTimeout: CONNECT_TIMEOUT_MS,
      // What matters reaches the service as an error; kafkajs's own log repeats every retry.
      logLevel: kafkajs.logLevel.NOTHING,
    })
  const client = connect()
  const admin = createKafkaJsAdmin(client, connection)
  const producers = new Set<{ close(): Promise<void> }>()
  function createProducer(options: ProducerOptions | undefined): Promise<Producer> {
    if (writer === 'kafkajs') return createKafkaJsProducer(client, options)
    const limits = { connectTimeoutMs: CONNECT_TIMEOUT_MS, requestTimeoutMs }
    return createIdempotentProducer(connectProduceWire({ brokers, clientId, ...limits }), options)
  }
  const lag = createLagMeter(admin, () => Date.now())
  // Throwaway groups of bounded reads and followers have no lag of their own.
  const reader = (options: GroupConsumerOptions): GroupConsumer => createKafkaJsConsumer(client, admin, options)
  return {
    admin,
    lag: () => lag.measure(),
    consumer: (options) => createKafkaJsConsumer(client, admin, options, lag),
    async producer(options) {
      const producer = await createProducer(options)
      producers.add(producer)
      return producer
    },
    async transactional(options) {
      const transactions = createKafkaJsTransactionClient(connect, admin, options)
      const producer = await createTransactionalProducer(transactions, options)
      producers.add(producer)
      return producer
    },
    readRanges: (topic, ranges, onBatch) => readRanges(reader, admin, topic, { ranges, onBatch }),
    follow: (topic, options) => follow(reader, admin, topic, options),
    followPartitions: (topic, onFatal) => followPartitions(reader, admin, { topic, onFatal }),
    async close() {
      await Promise.all([...producers].map((producer) => producer.close()))
      await admin.close()
    },
  }
}
