import type * as KafkaJs from 'kafkajs'
import { isMeshError, MeshError } from '../core/errors.ts'
import { type RecordToSend, recordBytes } from '../core/record.ts'
import { asBuffer, kafkajs } from './kafkajs-client.ts'
import type { Producer, ProducerOptions } from './port.ts'

const DEFAULT_MAX_BATCH_BYTES = 900_000
const SEND_TIMEOUT_MS = 15_000
const RETRIES = 6

type Waiting = {
  readonly topic: string
  readonly records: readonly RecordToSend[]
  readonly bytes: number
  readonly resolve: (offsets: number[]) => void
  readonly reject: (error: unknown) => void
}

const CODECS = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' } as const

/**
 * An idempotent producer with acks=all and exactly one request in flight: calls queue behind one another and are merged.
 * Overlapping sends of one kafkajs producer would reuse a sequence number after a lost response, and the broker would drop the
 * second as a duplicate. For the same reason a producer whose send failed is thrown away: its sequence is unknown.
 */
export async function createKafkaJsProducer(client: KafkaJs.Kafka, options: ProducerOptions = {}): Promise<Producer> {
  const maxBatchBytes = options.maxBatchBytes ?? DEFAULT_MAX_BATCH_BYTES
  const compression = kafkajs.CompressionTypes[CODECS[options.compression ?? 'zstd']]
  const queue: Waiting[] = []
  let producer: KafkaJs.Producer | null = await connect()
  let draining: Promise<void> | null = null
  let closed = false

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

  async function drain(): Promise<void> {
    while (queue.length > 0) await deliver(takeMerged(queue, maxBatchBytes))
    draining = null
  }

  async function deliver(calls: readonly Waiting[]): Promise<void> {
    try {
      const offsets = await produce(calls)
      for (const [i, call] of calls.entries()) call.resolve(offsets[i]!)
    } catch (cause) {
      await discard()
      const error = errorOf(cause)
      // Merged calls are sent again apart, so that one record that is too large fails its own call only.
      if (error.code === 'MESH_KAFKA_RECORD_TOO_LARGE' && calls.length > 1) {
        for (const call of calls) await deliver([call])
        return
      }
      for (const call of calls) call.reject(error)
    }
  }

  async function produce(calls: readonly Waiting[]): Promise<number[][]> {
    producer ??= await connect()
    const topics = new Map<string, KafkaJs.Message[]>()
    const slots: { topic: string; partition: number; index: number }[][] = []
    const next = new Map<string, number>()
    for (const { topic, records } of calls) {
      const messages = topics.get(topic) ?? []
      topics.set(topic, messages)
      const own: { topic: string; partition: number; index: number }[] = []
      for (const record of records) {
        const at = `${topic}/${record.partition}`
        const index = next.get(at) ?? 0
        next.set(at, index + 1)
        own.push({ topic, partition: record.partition, index })
        messages.push(wireRecord(record))
      }
      slots.push(own)
    }
    const answers = await producer.sendBatch({
      acks: -1,
      timeout: SEND_TIMEOUT_MS,
      compression,
      topicMessages: [...topics].map(([topic, messages]) => ({ topic, messages })),
    })
    const base = new Map(
      answers.map((answer) => [`${answer.topicName}/${answer.partition}`, Number(answer.baseOffset)]),
    )
    return slots.map((own) => own.map(({ topic, partition, index }) => base.get(`${topic}/${partition}`)! + index))
  }

  async function discard(): Promise<void> {
    const failed = producer
    producer = null
    await failed?.disconnect().catch(() => undefined)
  }

  return {
    send(topic, records) {
      if (closed) return Promise.reject(new MeshError('MESH_KAFKA_UNAVAILABLE', 'the producer is closed'))
      if (records.length === 0) return Promise.resolve([])
      return new Promise((resolve, reject) => {
        const bytes = records.reduce((sum, record) => sum + recordBytes(record), 0)
        queue.push({ topic, records, bytes, resolve, reject })
        draining ??= Promise.resolve().then(drain)
      })
    },
    async close() {
      closed = true
      await draining
      await discard()
    },
  }
}

/** Takes calls from the front of the queue up to the byte limit, at least one. */
function takeMerged(queue: Waiting[], maxBatchBytes: number): Waiting[] {
  let bytes = queue[0]!.bytes
  let count = 1
  while (count < queue.length && bytes + queue[count]!.bytes <= maxBatchBytes) bytes += queue[count++]!.bytes
  return queue.splice(0, count)
}

function wireRecord(record: RecordToSend): KafkaJs.Message {
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

function errorOf(error: unknown): MeshError {
  if (isMeshError(error)) return error
  const type = kafkaType(error)
  if (type === 'MESSAGE_TOO_LARGE' || type === 'RECORD_LIST_TOO_LARGE') {
    return new MeshError('MESH_KAFKA_RECORD_TOO_LARGE', 'the broker refused the record batch as too large', {
      cause: error,
    })
  }
  return new MeshError('MESH_KAFKA_UNAVAILABLE', 'writing to Kafka; the outcome is unknown', { cause: error })
}

/** The protocol error's name, wherever kafkajs has wrapped it. */
function kafkaType(error: unknown): string | undefined {
  for (let e = error; e instanceof Error; e = e.cause) {
    const { type } = e as { type?: string }
    if (type) return type
  }
  return undefined
}
