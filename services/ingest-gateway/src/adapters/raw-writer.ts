import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import { type RecordToSend, recordBytes } from '@mesh/shared/core/record'
import type { Producer } from '@mesh/shared/kafka/port'
import type { RawWriter, WriteOutcome } from '../core/ports.ts'

/** Bytes of one send; a larger record goes alone. Well under the topics' max.message.bytes. */
export const MAX_SEND_BYTES = 700_000

type Placed = { readonly at: number; readonly record: RecordToSend }

/**
 * Writes over one shared producer. A send holds records of one partition, so it is written as a whole or not at all and each
 * record's fate is exact. After a failed send the rest of its partition is not tried: a retry then keeps the order.
 */
export function createRawWriter(producer: () => Producer | null): RawWriter {
  async function writePartition(
    topic: string,
    sends: readonly (readonly Placed[])[],
    outcomes: (WriteOutcome | null)[],
  ): Promise<void> {
    let failed: MeshError | null = null
    for (const send of sends) {
      const result: readonly number[] | MeshError = failed ?? (await trySend(topic, send))
      if (isMeshError(result)) {
        for (const { at } of send) outcomes[at] = { error: result }
        if (result.status === 503) failed = result
      } else {
        send.forEach(({ at }, i) => {
          const offset = result[i]
          outcomes[at] = offset === undefined ? { error: unavailable(undefined) } : { offset }
        })
      }
    }
  }

  async function trySend(topic: string, send: readonly Placed[]): Promise<readonly number[] | MeshError> {
    const to = producer()
    if (to === null) return new MeshError('MESH_GATEWAY_STARTING', 'the gateway has not reached Kafka yet')
    try {
      return await to.send(
        topic,
        send.map((p) => p.record),
      )
    } catch (error) {
      return isMeshError(error) ? error : unavailable(error)
    }
  }

  return {
    write(topic, records) {
      const outcomes: (WriteOutcome | null)[] = records.map(() => null)
      const work = [...planSends(records)].map((sends) => writePartition(topic, sends, outcomes))
      return { outcomes, done: Promise.all(work).then(() => {}) }
    },
  }
}

const unavailable = (cause: unknown): MeshError =>
  new MeshError('MESH_KAFKA_UNAVAILABLE', 'Kafka did not acknowledge the event', { cause })

/** Per partition the sends in input order. */
function planSends(records: readonly RecordToSend[]): Iterable<readonly (readonly Placed[])[]> {
  const partitions = new Map<number, Placed[][]>()
  const open = new Map<number, number>()
  records.forEach((record, at) => {
    const { partition } = record
    const size = recordBytes(record)
    const sends = partitions.get(partition) ?? []
    partitions.set(partition, sends)
    const filled = (open.get(partition) ?? 0) + size
    if (sends.length === 0 || filled > MAX_SEND_BYTES) {
      sends.push([{ at, record }])
      open.set(partition, size)
    } else {
      sends.at(-1)!.push({ at, record })
      open.set(partition, filled)
    }
  })
  return partitions.values()
}
