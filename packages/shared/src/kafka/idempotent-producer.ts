import { setTimeout as sleep } from 'node:timers/promises'
import { createMergedSends, type SendCall, type SendOutcome, unknownOutcome } from './merged-sends.ts'
import type { ProducerId, ProduceWire } from './platformatic-wire.ts'
import type { Producer, ProducerOptions } from './port.ts'
import { type BatchAnswer, giveUp, judge, outcomesOf, type Part, partKey, partsOf } from './produce-parts.ts'
import { produceVerdict } from './produce-verdict.ts'
import { encodeRecordBatch } from './record-batch.ts'

export type DeliveryLimits = {
  /** The first producer id is given up after so long (ms). */
  readonly connectMs: number
  /** What no answer has settled for so long is given up (ms). */
  readonly deliveryMs: number
  /** A topic or partition that nobody knows is given up earlier (ms): it would hold up all others. */
  readonly unknownTopicMs: number
  /** The pause between attempts doubles from the first to the most (ms). */
  readonly firstPauseMs: number
  readonly mostPauseMs: number
}

const LIMITS: DeliveryLimits = {
  connectMs: 8000,
  deliveryMs: 30_000,
  unknownTopicMs: 5000,
  firstPauseMs: 50,
  mostPauseMs: 1000,
}

/**
 * An idempotent producer with acks=all: one delivery in flight, and a batch that may have been written is sent again under the
 * same producer id and sequence number only, so that the broker tells a repetition from a new batch. Where that is no longer
 * possible its outcome is unknown; it is never sent under a new id.
 */
export async function createIdempotentProducer(
  wire: ProduceWire,
  options: ProducerOptions = {},
  limits: DeliveryLimits = LIMITS,
): Promise<Producer> {
  const compression = options.compression ?? 'zstd'
  /** Next sequence number per partition, of the present producer id. */
  const sequences = new Map<string, number>()
  let id: ProducerId | null = null

  async function deliver(calls: readonly SendCall[]): Promise<SendOutcome[]> {
    const parts = partsOf(calls)
    try {
      await untilSettled(limits.deliveryMs, (tried) => attempt([...parts.values()].filter(isOpen), tried))
    } catch (error) {
      for (const part of parts.values()) if (isOpen(part)) giveUp(part, part.lastError ?? error)
    }
    // The broker may or may not have moved on: only a new producer id starts from a known sequence.
    if ([...parts.values()].some((part) => part.uncertain && part.outcome instanceof Error)) forget()
    return outcomesOf(calls, parts)
  }

  /** One request to each leader concerned. True when every part is settled. */
  async function attempt(parts: readonly Part[], { count, elapsedMs }: Tried): Promise<boolean> {
    id ??= await wire.newProducerId()
    const producer = id
    const led = new Map<number, Part[]>()
    const asked = new Set<string>()
    for (const part of parts) {
      const leader = await findLeader(part, count > 0 && !asked.has(part.topic))
      asked.add(part.topic)
      if (typeof leader === 'number') led.set(leader, [...(led.get(leader) ?? []), part])
      else if (leader === 'unknown' && elapsedMs >= limits.unknownTopicMs) giveUp(part)
    }
    const answered = await Promise.all([...led].map(([leader, own]) => ask(leader, own, producer)))
    // Judged when all have answered: one answer may end the producer id that the others were sent under.
    for (const { own, answers, error } of answered) {
      for (const part of own) judge(part, answers.get(partKey(part)), sequences)
      if (error !== undefined) for (const part of own) part.lastError = error
    }
    const stale = answered.some(({ answers }) => [...answers.values()].some(isStale))
    if (stale) {
      for (const part of parts) if (isOpen(part) && part.uncertain) giveUp(part)
      forget()
    }
    return !parts.some(isOpen)
  }

  async function findLeader(part: Part, refresh: boolean): Promise<number | 'none' | 'unknown'> {
    try {
      const leader = await wire.leaderOf(part.topic, part.partition, refresh)
      if (typeof leader !== 'number')
        part.lastError = new Error(leader === 'none' ? 'the partition has no leader' : 'there is no such partition')
      return leader
    } catch (error) {
      part.lastError = error
      return 'none'
    }
  }

  async function ask(leader: number, own: readonly Part[], producer: ProducerId): Promise<Answered> {
    const now = Date.now()
    const batches = own.map((part) => {
      const firstSequence = sequences.get(partKey(part)) ?? 0
      const bytes = encodeRecordBatch(part.records, { ...producer, firstSequence, compression, now })
      return { topic: part.topic, partition: part.partition, bytes }
    })
    try {
      const answers = await wire.produce(leader, batches)
      return { own, answers: new Map(answers.map((answer) => [partKey(answer), answer])) }
    } catch (error) {
      return { own, answers: new Map(), error }
    }
  }

  function forget(): void {
    id = null
    sequences.clear()
  }

  /** Repeats an attempt with growing pauses until it settles. @throws MeshError MESH_KAFKA_UNAVAILABLE at the limit. */
  async function untilSettled(mostMs: number, attempt: (tried: Tried) => Promise<boolean>): Promise<void> {
    const startedAt = performance.now()
    let pause = limits.firstPauseMs
    for (let count = 0; ; count++) {
      let cause: unknown
      try {
        if (await attempt({ count, elapsedMs: performance.now() - startedAt })) return
      } catch (error) {
        cause = error
      }
      if (performance.now() + pause - startedAt > mostMs) throw unknownOutcome(cause)
      await sleep(pause)
      pause = Math.min(pause * 2, limits.mostPauseMs)
    }
  }

  try {
    await untilSettled(limits.connectMs, async () => {
      id = await wire.newProducerId()
      return true
    })
  } catch (error) {
    await wire.close()
    throw error
  }
  return createMergedSends(deliver, () => wire.close(), options.maxBatchBytes)
}

type Tried = { readonly count: number; readonly elapsedMs: number }
type Answered = {
  readonly own: readonly Part[]
  readonly answers: ReadonlyMap<string, BatchAnswer>
  readonly error?: unknown
}

function isOpen(part: Part): boolean {
  return part.outcome === undefined
}

function isStale({ errorCode }: BatchAnswer): boolean {
  return produceVerdict(errorCode) === 'stale-producer'
}
