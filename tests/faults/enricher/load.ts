import { setTimeout as delay } from 'node:timers/promises'
import { header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import { rawTopic } from '@mesh/shared/core/topics'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import { ordersLog } from '../../../services/enricher/test/orders.ts'
import { seeded } from '../../../services/enricher/test/seeded.ts'
import { type Posted, recordOf } from '../../../services/enricher/test/world.ts'

export const PARTITIONS = 4
const KEYS = 60
const CHUNKS_PER_ROW = 12
const HOUR_MS = 3_600_000
/** Orders are of the past: a broker refuses timestamps of the future. */
const BEGIN_MS = Date.now() - 300 * 24 * HOUR_MS
const ORDERS_LOG_BEGIN_MS = Date.UTC(2026, 0, 1)

/** A seeded flow of orders into every partition of some streams, for as long as a fault takes. */
export type Load = {
  readonly posted: () => number
  /** Ends after the chunk in hand. @throws what stopped the flow before. */
  stop(): Promise<void>
}

export type LoadOptions = {
  readonly kafka: KafkaPort
  readonly streams: readonly string[]
  readonly seed: number
  /** Stream of the joined rows. */
  readonly customers: string
  /** Customers `<late>-0`, `<late>-1`, …: orders of one wait until its row comes, some chunks later or at the end. */
  readonly late: string
  /** Chunks are numbered over the whole suite: their ids and times differ. */
  readonly nextChunk: () => number
  /** True while so much is not decided that more would only prolong the test. */
  readonly isFull: () => Promise<boolean>
}

export function startLoad(options: LoadOptions): Load {
  const { kafka, streams, seed } = options
  const random = seeded(seed)
  const send = createPatientSend(kafka)
  let ended = false
  let posted = 0
  let own = 0
  const lateNow = (): string => `${options.late}-${Math.floor(own / CHUNKS_PER_ROW)}`
  const bringRow = (): Promise<void> => send(rawTopic(options.customers), [customerRow(lateNow())])

  async function flow(): Promise<void> {
    while (!ended) {
      await delay(100 + random.below(400))
      if (await options.isFull()) continue
      const chunk = options.nextChunk()
      const length = 4 + random.below(random.chance(0.2) ? 60 : 12)
      for (const stream of streams) {
        const records = Array.from({ length: PARTITIONS }, (_, partition) =>
          ordersOf({ seed, chunk, partition, length, late: lateNow() }),
        ).flat()
        await send(rawTopic(stream), records)
        posted += records.length
      }
      if ((own + 1) % CHUNKS_PER_ROW === 0) await bringRow()
      own++
    }
    await bringRow()
  }
  const flowing = flow()
  flowing.catch(() => undefined) // told at the stop
  return {
    posted: () => posted,
    async stop() {
      ended = true
      await flowing
    },
  }
}

/** A send whose outcome is unknown is sent again: what lies twice in raw has the same event id. */
export function createPatientSend(kafka: KafkaPort): (topic: string, records: RecordToSend[]) => Promise<void> {
  let producer: Promise<Producer> = kafka.producer()
  return async (topic, records) => {
    for (;;) {
      try {
        await (await producer).send(topic, records)
        return
      } catch (error) {
        console.log(`[faults] the load writes again: ${(error as Error).message}`)
        await delay(500)
        producer = kafka.producer()
      }
    }
  }
}

type Chunk = { seed: number; chunk: number; partition: number; length: number; late: string }

/** Orders of every fate (see `ordersLog`), spread over many keys; a few wait for the late customer. */
function ordersOf({ seed, chunk, partition, length, late }: Chunk): RecordToSend[] {
  const shift = BEGIN_MS - ORDERS_LOG_BEGIN_MS - seed * HOUR_MS
  return ordersLog(seed + chunk, length, partition).map((posted, i) => {
    const order = posted.value as Record<string, unknown> | Uint8Array | null
    const unknown = order !== null && !(order instanceof Uint8Array) && order['customer'] === 'c3'
    const customer = i % 8 === 0 ? late : `c${i % 3}`
    return recordOf(
      {
        ...posted,
        key: `k${(chunk * 13 + i * 7) % KEYS}`,
        timestamp: posted.timestamp! + shift,
        value: unknown ? { ...order, customer } : order,
      },
      i,
    )
  })
}

/** Records that can be no order: bytes that are not JSON, and orders that do not match the schema. */
export function poison(
  kinds: readonly ('bytes' | 'schema' | 'fine')[],
  partition: number,
  label: string,
): RecordToSend[] {
  return kinds.map((kind, n) => {
    const posted: Posted = {
      partition,
      key: `k${n % KEYS}`,
      id: `${label}-${n}`,
      timestamp: BEGIN_MS,
      value:
        kind === 'bytes'
          ? textBytes('{"n": ')
          : kind === 'schema'
            ? { n, does: 'mismatch', customer: 'c0' }
            : { n, customer: 'c0' },
    }
    return recordOf(posted, n)
  })
}

export function customerRow(id: string): RecordToSend {
  return {
    partition: 0,
    key: textBytes(id),
    value: textBytes(JSON.stringify({ id, name: `name of ${id}` })),
    headers: [header('ce_id', id)],
    timestamp: Date.now(),
  }
}
