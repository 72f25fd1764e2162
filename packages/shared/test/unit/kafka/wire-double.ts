import { Reader, readRecordsBatch } from '@platformatic/kafka'
import type { EncodedBatch, ProduceWire } from '../../../src/kafka/platformatic-wire.ts'
import type { BatchAnswer } from '../../../src/kafka/produce-parts.ts'

type Appended = { readonly first: number; readonly count: number; readonly baseOffset: number }

/** Brokers behind the wire, which keep Kafka's rules of producer ids and sequence numbers. */
export type WireDouble = {
  readonly wire: ProduceWire
  /** Values per `topic/partition`, as they were appended. */
  readonly log: Map<string, string[]>
  readonly mostInFlight: () => number
  readonly producers: () => number
  readonly requests: () => number
  readonly refreshes: () => number
  readonly isClosed: () => boolean
  /** Takes each request before anything is appended; throws to refuse it, or answers in the broker's place. */
  onRequest: (attempt: number, batches: readonly EncodedBatch[]) => readonly BatchAnswer[] | undefined
  /** Takes the answers of each request, once appended; throws to lose them. */
  onAnswers: (answers: BatchAnswer[], attempt: number) => readonly BatchAnswer[]
  leaderOf: (topic: string, partition: number) => number | 'none' | 'unknown'
  /** A batch with more records than this is refused as too large. */
  mostRecords: number
  /** The broker forgets what it knows of all producers. */
  loseProducerState(): void
}

const OUT_OF_ORDER_SEQUENCE = 45
const MESSAGE_TOO_LARGE = 10
/** How many batches per producer and partition a broker remembers to tell a repetition. */
const REMEMBERED = 5

export function createWireDouble(): WireDouble {
  const log = new Map<string, string[]>()
  const remembered = new Map<string, Appended[]>()
  let producers = 0
  let requests = 0
  let refreshes = 0
  let inFlight = 0
  let most = 0
  let closed = false
  let strict = false

  function append({ topic, partition, bytes }: EncodedBatch): BatchAnswer {
    const at = `${topic}/${partition}`
    const { producerId, firstSequence: first, records } = readRecordsBatch(Reader.from(bytes))
    const count = records.length
    const answer = (errorCode: number, baseOffset = -1): BatchAnswer => ({ topic, partition, errorCode, baseOffset })
    if (count > double.mostRecords) return answer(MESSAGE_TOO_LARGE)
    const known = remembered.get(`${producerId}/${at}`)
    const own = known ?? []
    const repeated = own.find((batch) => batch.first === first && batch.count === count)
    if (repeated) return answer(0, repeated.baseOffset)
    const last = own.at(-1)
    const expected = last ? last.first + last.count : 0
    // A broker that knows nothing of a producer takes any first sequence, unless it is told not to.
    if (first !== expected && (known || strict)) return answer(OUT_OF_ORDER_SEQUENCE)
    const values = log.get(at) ?? []
    log.set(at, values)
    remembered.set(`${producerId}/${at}`, [...own, { first, count, baseOffset: values.length }].slice(-REMEMBERED))
    values.push(...records.map(({ value }) => String(value)))
    return answer(0, values.length - count)
  }

  const double: WireDouble = {
    wire: {
      newProducerId: () => Promise.resolve({ producerId: BigInt(++producers), producerEpoch: 0 }),
      leaderOf(topic, partition, refresh) {
        if (refresh) refreshes++
        return Promise.resolve(double.leaderOf(topic, partition))
      },
      async produce(_node, batches) {
        const attempt = ++requests
        most = Math.max(most, ++inFlight)
        try {
          const instead = double.onRequest(attempt, batches)
          await new Promise((resolve) => setImmediate(resolve))
          return instead ?? double.onAnswers(batches.map(append), attempt)
        } finally {
          inFlight--
        }
      },
      close() {
        closed = true
        return Promise.resolve()
      },
    },
    log,
    mostInFlight: () => most,
    producers: () => producers,
    requests: () => requests,
    refreshes: () => refreshes,
    isClosed: () => closed,
    onRequest: () => undefined,
    onAnswers: (answers) => answers,
    leaderOf: () => 1,
    mostRecords: Number.POSITIVE_INFINITY,
    loseProducerState() {
      remembered.clear()
      strict = true
    },
  }
  return double
}
