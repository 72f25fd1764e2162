import { isMeshError, MeshError } from '../core/errors.ts'
import { type RecordToSend, recordBytes } from '../core/record.ts'
import type { Producer } from './port.ts'

export type SendCall = { readonly topic: string; readonly records: readonly RecordToSend[] }

/**
 * What became of a call: per record its offset, or null where its partition refused the batch as too large; or the error that
 * leaves the outcome open.
 */
export type SendOutcome = readonly (number | null)[] | MeshError

/** Writes calls that were merged, one record batch per partition. */
export type Deliver = (calls: readonly SendCall[]) => Promise<readonly SendOutcome[]>

type Waiting = SendCall & {
  readonly bytes: number
  readonly resolve: (offsets: number[]) => void
  readonly reject: (error: unknown) => void
}

const DEFAULT_MAX_BATCH_BYTES = 900_000

/**
 * The queue before a producer, the same for every client: one delivery at a time, and what is called meanwhile is merged into the
 * next one. `release` lets go of the client once the queue is empty and closed.
 */
export function createMergedSends(
  deliver: Deliver,
  release: () => Promise<void>,
  maxBatchBytes: number = DEFAULT_MAX_BATCH_BYTES,
): Producer {
  const queue: Waiting[] = []
  let draining: Promise<void> | null = null
  let closed = false

  async function drain(): Promise<void> {
    while (queue.length > 0) await send(takeMerged(queue, maxBatchBytes))
    draining = null
  }

  async function send(calls: readonly Waiting[]): Promise<void> {
    const outcomes = await deliver(calls).catch((cause: unknown) => calls.map(() => unknownOutcome(cause)))
    for (const [i, call] of calls.entries()) await settle(call, outcomes[i]!, calls.length > 1)
  }

  /** What was refused among other calls is sent again by itself: only a call that is too large alone fails. */
  async function settle(call: Waiting, outcome: SendOutcome, merged: boolean): Promise<void> {
    if (isMeshError(outcome)) return call.reject(outcome)
    const refused = call.records.filter((_, i) => outcome[i] === null)
    if (refused.length === 0) return call.resolve(outcome as number[])
    if (!merged) {
      const message = 'the broker refused the record batch as too large'
      return call.reject(new MeshError('MESH_KAFKA_RECORD_TOO_LARGE', message, { place: call.topic }))
    }
    const resolve = (again: readonly number[]): void => {
      let next = 0
      call.resolve(outcome.map((offset) => offset ?? again[next++]!))
    }
    await send([{ ...call, records: refused, resolve }])
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
      await release()
    },
  }
}

export function unknownOutcome(cause: unknown): MeshError {
  if (isMeshError(cause)) return cause
  return new MeshError('MESH_KAFKA_UNAVAILABLE', 'writing to Kafka; the outcome is unknown', { cause })
}

/** Takes calls from the front of the queue up to the byte limit, at least one. */
function takeMerged(queue: Waiting[], maxBatchBytes: number): Waiting[] {
  let bytes = queue[0]!.bytes
  let count = 1
  while (count < queue.length && bytes + queue[count]!.bytes <= maxBatchBytes) bytes += queue[count++]!.bytes
  return queue.splice(0, count)
}
