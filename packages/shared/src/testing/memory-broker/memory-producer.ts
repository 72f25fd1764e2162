import { MeshError } from '../../core/errors.ts'
import type { RecordToSend } from '../../core/record.ts'
import type { Producer, TopicWrite } from '../../kafka/port.ts'
import { sleep } from '../../kafka/scheduler.ts'
import type { Broker } from './broker.ts'
import { isBrokerError } from './broker-error.ts'
import type { Endpoint } from './endpoint.ts'

export type SendFailure = { readonly error: Error; readonly when: 'before' | 'after' }

const MAX_RECORD_BYTES = 4_194_304
const ATTEMPTS = 6
const RETRY_MS = 20

/** An idempotent producer with one request in flight; a lost answer makes it send the same sequence numbers again. */
export function createMemoryProducer(broker: Broker, endpoint: Endpoint, failure: () => SendFailure | null): Producer {
  let sequences: Sequences | null = null
  let tail: Promise<unknown> = Promise.resolve()

  async function send(topic: string, records: readonly RecordToSend[]): Promise<number[]> {
    const failing = failure()
    if (failing?.when === 'before') throw failing.error
    if (records.length === 0) return []
    sequences ??= createSequences(broker.nextProducerId(), 0, false)
    try {
      const [offsets] = await produce(broker, endpoint, [{ topic, records }], sequences)
      if (failing) throw failing.error
      return offsets!
    } catch (error) {
      if (!isBrokerError(error, 'REQUEST_TIMED_OUT')) throw error
      // What the broker has seen of the sequence is unknown.
      sequences = null
      throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'writing to Kafka; the outcome is unknown', { cause: error })
    }
  }

  return {
    send(topic, records) {
      const sent = tail.then(() => send(topic, records))
      tail = sent.catch(() => undefined)
      return sent
    },
    close: () => tail.then(() => undefined),
  }
}

/** Sequence numbers of one producer id and epoch. */
export type Sequences = {
  readonly producerId: number
  readonly epoch: number
  readonly transactional: boolean
  readonly next: Map<string, number>
}

export function createSequences(producerId: number, epoch: number, transactional: boolean): Sequences {
  return { producerId, epoch, transactional, next: new Map() }
}

/**
 * One produce request, sent again until it is answered. Resolves with each record's offset, per write.
 * @throws BrokerError REQUEST_TIMED_OUT after some attempts. @throws MeshError MESH_KAFKA_RECORD_TOO_LARGE: nothing was written.
 */
export async function produce(
  broker: Broker,
  endpoint: Endpoint,
  writes: readonly TopicWrite[],
  sequences: Sequences,
  verify: (topic: string, partition: number) => void = () => undefined,
): Promise<number[][]> {
  for (const { topic, records } of writes) refuseLarge(topic, records)
  const firsts = new Map<string, number>()
  const counts = new Map<string, number>()
  const batches = writes.flatMap(({ topic, records }, write) =>
    [...Map.groupBy(records, ({ partition }) => partition)].map(([partition, own]) => {
      const place = `${topic}/${partition}`
      const firstSequence = (sequences.next.get(place) ?? 0) + (counts.get(place) ?? 0)
      counts.set(place, (counts.get(place) ?? 0) + own.length)
      return { topic, partition, records: own, firstSequence, key: `${write}/${partition}` }
    }),
  )
  for (let attempt = 1; ; attempt++) {
    try {
      await endpoint.call('produce', () => {
        for (const { topic, partition } of batches) verify(topic, partition)
        for (const { topic, partition, records, firstSequence, key } of batches)
          firsts.set(key, broker.append(topic, partition, records, { ...sequences, firstSequence }))
      })
      break
    } catch (error) {
      if (attempt >= ATTEMPTS || !isBrokerError(error, 'REQUEST_TIMED_OUT')) throw error
      await sleep(endpoint.scheduler, RETRY_MS)
    }
  }
  for (const [place, count] of counts) sequences.next.set(place, (sequences.next.get(place) ?? 0) + count)
  return writes.map(({ records }, write) => {
    const next = new Map<number, number>()
    return records.map(({ partition }) => {
      const offset = next.get(partition) ?? firsts.get(`${write}/${partition}`)!
      next.set(partition, offset + 1)
      return offset
    })
  })
}

function refuseLarge(topic: string, records: readonly RecordToSend[]): void {
  if (records.some(({ value }) => (value?.byteLength ?? 0) > MAX_RECORD_BYTES))
    throw new MeshError('MESH_KAFKA_RECORD_TOO_LARGE', 'the record is too large', { place: topic })
}
