import type * as KafkaJs from 'kafkajs'
import { isMeshError, MeshError } from '../core/errors.ts'
import { type RecordToSend, recordBytes } from '../core/record.ts'
import { asBuffer, isRefusedAsTooLarge, kafkajs, type ProduceAnswer } from './kafkajs-client.ts'
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

export const CODECS = { none: 'None', gzip: 'GZIP', snappy: 'Snappy', lz4: 'LZ4', zstd: 'ZSTD' } as const

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
    let offsets: (number | null)[][]
    try {
      offsets = await produce(calls)
    } catch (cause) {
      await discard()
      const error = errorOf(cause)
      for (const call of calls) call.reject(error)
      return
    }
    // The sequence of a refused partition has moved on here, and not at the broker.
    if (offsets.some((own) => own.includes(null))) await discard()
    for (const [i, call] of calls.entries()) await settle(call, offsets[i]!, calls.length > 1)
  }

  /** What was refused among other calls is sent again by itself: only a call that is too large alone fails. */
  async function settle(call: Waiting, offsets: readonly (number | null)[], merged: boolean): Promise<void> {
    const refused = call.records.filter((_, i) => offsets[i] === null)
    if (refused.length === 0) return call.resolve(offsets as number[])
    if (!merged) {
      const message = 'the broker refused the record batch as too large'
      return call.reject(new MeshError('MESH_KAFKA_RECORD_TOO_LARGE', message, { place: call.topic }))
    }
    const resolve = (again: readonly number[]): void => {
      let next = 0
      call.resolve(offsets.map((offset) => offset ?? again[next++]!))
    }
    await deliver([{ ...call, records: refused, resolve }])
  }

  /** Per call the offset of each record, null where the record's partition refused its batch as too large. */
  async function produce(calls: readonly Waiting[]): Promise<(number | null)[][]> {
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

function errorOf(error: unknown): MeshError {
  if (isMeshError(error)) return error
  return new MeshError('MESH_KAFKA_UNAVAILABLE', 'writing to Kafka; the outcome is unknown', { cause: error })
}
