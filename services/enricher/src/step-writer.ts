import { MeshError } from '@mesh/shared/core/errors'
import type { RecordToSend } from '@mesh/shared/core/record'
import type { Producer, Progress, TopicPartition, TransactionalProducer } from '@mesh/shared/kafka/port'

/** What one step of decisions writes. The order is that of the fields: what is parked is durable before any later output is. */
export type Step = {
  readonly state: readonly RecordToSend[]
  readonly outputs: readonly RecordToSend[]
  readonly deadLetters: readonly RecordToSend[]
  /** Of all these records together. */
  readonly bytes: number
}

/** Offsets in input order. */
export type Written = { readonly state: readonly number[]; readonly outputs: readonly number[] }

/** Writes a partition's steps under one of the two guarantees. */
export type StepWriter = {
  /** True: a step becomes visible with the group offset, in one transaction. False: it is acked before `write` resolves. */
  readonly transactional: boolean
  /** `onWritten` is told once where the records lie: at the ack, or after the commit. */
  write(step: Step, onWritten: (written: Written) => void): Promise<void>
  /** Bytes that wait for their commit. */
  buffered(): number
}

export type StepTopics = { readonly refined: string; readonly deadLetter: string; readonly state: string }

/** Ends of a partition's output and state as they were read at the restore; null = there is no state topic. */
export type PartitionEnds = { readonly refined: number; readonly state: number | null }

/**
 * At least once. Only one process may write to a partition: an offset that is not the expected one shows another writer, whose
 * records are not in these books. Nothing is committed then; the process starts again and reads back what is there.
 */
export function createAckedWriter(
  producer: Pick<Producer, 'send'>,
  topics: StepTopics,
  { partition, ends }: { partition: number; ends: PartitionEnds },
): StepWriter {
  const next = { refined: ends.refined, state: ends.state ?? 0 }

  async function send(kind: 'refined' | 'state', records: readonly RecordToSend[]): Promise<readonly number[]> {
    if (records.length === 0) return []
    if (kind === 'state' && ends.state === null) throw noStateTopic(topics.state)
    const offsets = await producer.send(topics[kind], records)
    const first = offsets[0]!
    const place = `${topics[kind]}/${partition}`
    if (first < next[kind]) {
      const known = next[kind]
      throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', `wrote at ${first}, below the known end ${known}`, { place })
    }
    if (first > next[kind]) {
      throw new MeshError('MESH_REFINE_FENCED', `[${next[kind]}, ${first}) was written by another process`, { place })
    }
    next[kind] = offsets.at(-1)! + 1
    return offsets
  }

  return {
    transactional: false,
    async write({ state, outputs, deadLetters }, onWritten) {
      const written = { state: await send('state', state), outputs: await send('refined', outputs) }
      if (deadLetters.length > 0) await producer.send(topics.deadLetter, deadLetters)
      onWritten(written)
    },
    buffered: () => 0,
  }
}

export type TransactionalWriter = StepWriter & {
  /** Everything handed over and the progress, in one transaction. */
  commit(at: TopicPartition, progress: Progress): Promise<void>
  close(): Promise<void>
}

/** Exactly once: steps wait in memory, in order, for the transaction that commits the position after them. */
export function createTransactionalWriter(producer: TransactionalProducer, topics: StepTopics): TransactionalWriter {
  let waiting: { readonly step: Step; readonly onWritten: (written: Written) => void }[] = []
  let bytes = 0
  return {
    transactional: true,
    write(step, onWritten) {
      waiting.push({ step, onWritten })
      bytes += step.bytes
      return Promise.resolve()
    },
    buffered: () => bytes,
    async commit({ topic, partition }, progress) {
      const steps = waiting
      waiting = []
      bytes = 0
      const writes = [
        { topic: topics.state, records: steps.flatMap(({ step }) => step.state) },
        { topic: topics.refined, records: steps.flatMap(({ step }) => step.outputs) },
        { topic: topics.deadLetter, records: steps.flatMap(({ step }) => step.deadLetters) },
      ]
      const filled = writes.filter(({ records }) => records.length > 0)
      const offsets = await producer.transact({ writes: filled, offset: { topic, partition, progress } })
      const of = (name: string): readonly number[] => offsets[filled.findIndex((write) => write.topic === name)] ?? []
      let [stateAt, outputsAt] = [0, 0]
      for (const { step, onWritten } of steps) {
        const state = of(topics.state).slice(stateAt, (stateAt += step.state.length))
        onWritten({ state, outputs: of(topics.refined).slice(outputsAt, (outputsAt += step.outputs.length)) })
      }
    },
    close: () => producer.close(),
  }
}

export function noStateTopic(topic: string): MeshError {
  return new MeshError('MESH_REFINE_STATE_LOST', 'there is no state topic to park on: apply the stream again', {
    place: topic,
  })
}
