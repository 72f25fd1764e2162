import { createRequire } from 'node:module'
import type * as KafkaJs from 'kafkajs'
import '../../../src/kafka/kafkajs-client.ts'

type Entry = { partition: number; firstSequence: number; messages: { value: Buffer }[] }
type ProduceRequest = { producerId: number; topicData: { topic: string; partitions: Entry[] }[] }
type Answer = { partition: number; errorCode: number; baseOffset: string }
type Appended = { first: number; last: number; baseOffset: number }

/** kafkajs's own producer over one broker that keeps Kafka's rules of sequence numbers. */
export type ProduceDouble = {
  readonly client: KafkaJs.Kafka
  /** Values per `topic/partition`, as they were appended. */
  readonly log: Map<string, string[]>
  readonly mostInFlight: () => number
  readonly producers: () => number
  /** Takes the answer of each produce request, once appended; throws to lose it. */
  onAnswer: (answers: Answer[], attempt: number) => Answer[]
  /** A partition's batch with more records than this is refused as too large. */
  mostRecords: number
}

const require = createRequire(import.meta.url)
const createProducer = require('kafkajs/src/producer') as (options: object) => KafkaJs.Producer
const { createErrorFromCode } = require('kafkajs/src/protocol/error') as {
  createErrorFromCode: (code: number) => Error
}
const { KafkaJSRequestTimeoutError } = require('kafkajs/src/errors') as {
  KafkaJSRequestTimeoutError: new (message: string, details: object) => Error
}

const OUT_OF_ORDER_SEQUENCE = 45
const MESSAGE_TOO_LARGE = 10
/** How many batches per producer and partition a broker remembers to tell a repetition. */
const REMEMBERED = 5

export function responseLost(): Error {
  return new KafkaJSRequestTimeoutError('Request Produce timed out', { broker: 'double', clientId: 'double' })
}

export function createProduceDouble(): ProduceDouble {
  const log = new Map<string, string[]>()
  const remembered = new Map<string, Appended[]>()
  let producers = 0
  let attempts = 0
  let inFlight = 0
  let most = 0

  function append(producerId: number, topic: string, { partition, firstSequence, messages }: Entry): Answer {
    const at = `${topic}/${partition}`
    if (messages.length > double.mostRecords) return { partition, errorCode: MESSAGE_TOO_LARGE, baseOffset: '-1' }
    const own = remembered.get(`${producerId}/${at}`) ?? []
    remembered.set(`${producerId}/${at}`, own)
    const last = firstSequence + messages.length - 1
    const repeated = own.find((batch) => batch.first === firstSequence && batch.last === last)
    if (repeated) return { partition, errorCode: 0, baseOffset: String(repeated.baseOffset) }
    if (firstSequence !== (own.at(-1)?.last ?? -1) + 1) throw createErrorFromCode(OUT_OF_ORDER_SEQUENCE)
    const values = log.get(at) ?? []
    log.set(at, values)
    own.push({ first: firstSequence, last, baseOffset: values.length })
    if (own.length > REMEMBERED) own.shift()
    values.push(...messages.map(({ value }) => value.toString()))
    return { partition, errorCode: 0, baseOffset: String(own.at(-1)!.baseOffset) }
  }

  const broker = {
    nodeId: '1',
    initProducerId: () => Promise.resolve({ producerId: ++producers, producerEpoch: 0 }),
    async produce({ producerId, topicData }: ProduceRequest) {
      most = Math.max(most, ++inFlight)
      attempts++
      const attempt = attempts
      try {
        const topics = topicData.map(({ topic, partitions }) => ({
          topicName: topic,
          partitions: partitions.map((entry) =>
            append(producerId, topic, { ...entry, partition: Number(entry.partition) }),
          ),
        }))
        await new Promise((resolve) => setImmediate(resolve))
        return {
          topics: topics.map((topic) => ({ ...topic, partitions: double.onAnswer(topic.partitions, attempt) })),
        }
      } finally {
        inFlight--
      }
    },
  }
  const nothing = (): Promise<void> => Promise.resolve()
  const cluster = {
    retry: {},
    connect: nothing,
    disconnect: nothing,
    isConnected: () => true,
    refreshMetadata: nothing,
    refreshMetadataIfNecessary: nothing,
    addMultipleTargetTopics: nothing,
    findTopicPartitionMetadata: () => [0, 1].map((partitionId) => ({ partitionId, leader: 1 })),
    findLeaderForPartitions: (_topic: string, partitions: unknown[]) => ({ 1: partitions }),
    findBroker: () => Promise.resolve(broker),
    findControllerBroker: () => Promise.resolve(broker),
  }
  const quiet = (): void => undefined
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet, namespace: () => logger } as object
  const double: ProduceDouble = {
    client: {
      producer: (options: object) => createProducer({ ...options, cluster, logger }),
    } as unknown as KafkaJs.Kafka,
    log,
    mostInFlight: () => most,
    producers: () => producers,
    onAnswer: (answers) => answers,
    mostRecords: Number.POSITIVE_INFINITY,
  }
  return double
}
