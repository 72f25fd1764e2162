import {
  Base,
  type ClusterMetadata,
  type Connection,
  createAPI,
  initProducerIdV4,
  produceV9,
  UserError,
  Writer,
} from '@platformatic/kafka'
import type { BatchAnswer } from './produce-parts.ts'

/** A record batch ready for the wire, for one partition. */
export type EncodedBatch = { readonly topic: string; readonly partition: number; readonly bytes: Buffer }

export type ProducerId = { readonly producerId: bigint; readonly producerEpoch: number }

/** The requests of a producer, each tried once: what to repeat is the caller's decision. */
export type ProduceWire = {
  newProducerId(): Promise<ProducerId>
  /** The node that leads a partition, or that it has none, or that the cluster knows no such partition. `refresh` asks again. */
  leaderOf(topic: string, partition: number, refresh: boolean): Promise<number | 'none' | 'unknown'>
  /** Writes to one node with acks=all. A rejection leaves open whether anything was written. */
  produce(node: number, batches: readonly EncodedBatch[]): Promise<readonly BatchAnswer[]>
  close(): Promise<void>
}

export type WireOptions = {
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
}

const ACKS_ALL = -1
/** Ignored without a transactional id. */
const NO_TRANSACTION_MS = 60_000
/** How long a leader waits for its followers; less than a client waits for its answer. */
const ACKS_TIMEOUT_MS = 15_000
const METADATA_AGE_MS = 300_000

/** Produce version 9 (Kafka 2.4 and later) around batches that are encoded already. */
const produceApi = createAPI<[batches: readonly EncodedBatch[]], produceV9.ProduceResponse>(
  produceV9.api.key,
  produceV9.api.version,
  produceRequest,
  produceV9.parseResponse,
)

/** Connections, metadata and framing of `@platformatic/kafka`, without its own producer. */
export function connectProduceWire({
  brokers,
  clientId,
  connectTimeoutMs,
  requestTimeoutMs,
}: WireOptions): ProduceWire {
  const client = new Base({
    clientId,
    bootstrapBrokers: [...brokers],
    connectTimeout: connectTimeoutMs,
    requestTimeout: requestTimeoutMs,
    // One request in flight per connection; repetition is the producer's.
    maxInflights: 1,
    retries: 0,
    metadataMaxAge: METADATA_AGE_MS,
  })

  async function connectionTo(node: number): Promise<Connection> {
    const connection = (await client.connectToBrokers([node])).get(node)
    if (!connection) throw new Error(`node ${node} is not in the cluster's metadata`)
    return connection
  }

  return {
    async newProducerId() {
      const { brokers: nodes } = await client.metadata({ topics: [], forceUpdate: true })
      const connection = await Promise.any([...nodes.keys()].map(connectionTo))
      const { producerId, producerEpoch } = await initProducerIdV4.api.async(connection, null, NO_TRANSACTION_MS)
      return { producerId, producerEpoch }
    },
    async leaderOf(topic, partition, refresh) {
      const metadata = await client.metadata({ topics: [topic], forceUpdate: refresh }).catch(unknownTopic)
      const leader = metadata?.topics.get(topic)?.partitions[partition]?.leader
      if (leader === undefined) return 'unknown'
      return leader < 0 ? 'none' : leader
    },
    async produce(node, batches) {
      const connection = await connectionTo(node)
      const { responses } = await produceApi.async(connection, batches).catch(answerOf)
      return responses.flatMap(({ name, partitionResponses }) =>
        partitionResponses.map(({ index, errorCode, baseOffset }) => ({
          topic: name,
          partition: index,
          errorCode,
          baseOffset: Number(baseOffset),
        })),
      )
    },
    close: () => client.close(),
  }
}

function produceRequest(batches: readonly EncodedBatch[]): Writer {
  const topics = Map.groupBy(batches, ({ topic }) => topic)
  return Writer.create()
    .appendString(null)
    .appendInt16(ACKS_ALL)
    .appendInt32(ACKS_TIMEOUT_MS)
    .appendArray([...topics], (toTopic, [topic, own]) => {
      toTopic.appendString(topic).appendArray(own, (to, { partition, bytes }) => {
        to.appendInt32(partition).appendBytes(bytes)
      })
    })
    .appendTaggedFields()
}

/** The client throws an answer that holds errors; what each partition says is in it all the same. */
function answerOf(error: unknown): produceV9.ProduceResponse {
  const { response } = error as { response?: produceV9.ProduceResponse }
  if (response?.responses === undefined) throw error
  return response
}

/** The client reports a topic that the cluster does not know as a mistake of its user. */
function unknownTopic(error: unknown): ClusterMetadata | null {
  if ((error as { code?: string }).code !== UserError.code) throw error
  return null
}
