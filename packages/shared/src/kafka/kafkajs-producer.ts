import type * as KafkaJs from 'kafkajs'
import { MeshError } from '../core/errors.ts'
import type { RecordToSend } from '../core/record.ts'
import { isRefusedAsTooLarge, kafkajs, type ProduceAnswer } from './kafkajs-client.ts'
import { asBuffer } from './kafkajs-codecs.ts'
import { createMergedSends, type SendCall } from './merged-sends.ts'
import type { Producer, ProducerOptions } from './port.ts'

const SEND_TIMEOUT_MS = 15_000
const RETRIES = 6

export const CODECS = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' } as const

/**
 * An idempotent producer with acks=all and exactly one request in flight, behind a queue that merges. Overlapping sends of one
 * kafkajs producer would reuse a sequence number after a lost response, and the broker would drop the second as a duplicate. For
 * the same reason a producer whose send failed is thrown away: its sequence is unknown.
 */
export async function createKafkaJsProducer(client: KafkaJs.Kafka, options: ProducerOptions = {}): Promise<Producer> {
  const compression = kafkajs.CompressionTypes[CODECS[options.compression ?? 'zstd']]
  let producer: KafkaJs.Producer | null = await connect()

  async function connect(): Promise<KafkaJs.Producer> {
    const fresh = client.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      retry: { retries: RETRIES, initialRetryTime: 100, maxRetryTime: 2000 },
    })
    await fresh.connect()
    return fresh
  }

  async function deliver(calls: readonly SendCall[]): Promise<(number | null)[][]> {
    try {
      const offsets = await produce(calls)
      // The sequence of a refused partition has moved on here, and not at the broker.
      if (offsets.some((own) => own.includes(null))) await discard()
      return offsets
    } catch (error) {
      await discard()
      throw error
    }
  }

  /** Per call the offset of each record, null where the record's partition refused its batch as too large. */
  async function produce(calls: readonly SendCall[]): Promise<(number | null)[][]> {
    producer ??= await connect()
    const topics = new Map<string, KafkaJs.Message[]>()
    for (const { topic, records } of calls) {
      const messages = topics.get(topic) ?? []
      topics.set(topic, messages)
      for (const record of records) messages.push(wireRecord(record))
    }
    const answers = await producer.sendBatch({
      acks: -1,
      timeout: SEND_TIMEOUT_MS,
      compression,
      topicMessages: [...topics].map(([topic, messages]) => ({ topic, messages })),
    })
    const next = new Map((answers as ProduceAnswer[]).map((answer) => [placeOf(answer), firstOffset(answer)]))
    return calls.map(({ topic, records }) =>
      records.map(({ partition }) => {
        const at = placeOf({ topicName: topic, partition })
        const offset = next.get(at)
        if (offset === undefined)
          throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'the answer lacks an offset', { place: at })
        if (offset !== null) next.set(at, offset + 1)
        return offset
      }),
    )
  }

  async function discard(): Promise<void> {
    const failed = producer
    producer = null
    await failed?.disconnect().catch(() => undefined)
  }

  return createMergedSends(deliver, discard, options.maxBatchBytes)
}

export function wireRecord(record: RecordToSend): KafkaJs.Message {
  const wire = {
    partition: record.partition,
    key: record.key === null ? null : asBuffer(record.key),
    value: record.value === null ? null : asBuffer(record.value),
    headers: record.headers.map(({ name, value }) => ({ name, value: value === null ? null : asBuffer(value) })),
    // As text: kafkajs takes the number 0 for "no timestamp".
    ...(record.timestamp === undefined ? {} : { timestamp: String(record.timestamp) }),
  }
  return wire as unknown as KafkaJs.Message
}

function placeOf({ topicName, partition }: { topicName: string; partition: number }): string {
  return `${topicName}/${partition}`
}

/** The offset of a partition's first record, null when the batch was refused, undefined when the answer does not say. */
function firstOffset(answer: ProduceAnswer): number | null | undefined {
  if (isRefusedAsTooLarge(answer)) return null
  const offset = Number(answer.baseOffset ?? Number.NaN)
  return Number.isSafeInteger(offset) && offset >= 0 ? offset : undefined
}
