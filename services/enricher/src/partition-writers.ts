import type {
  AssignedPartition,
  Committed,
  KafkaPort,
  Producer,
  Progress,
  TopicPartition,
  TransactionalProducer,
} from '@mesh/shared/kafka/port'
import { isTransactional } from './core/books-metadata.ts'
import {
  createAckedWriter,
  createTransactionalWriter,
  type PartitionEnds,
  type StepTopics,
  type StepWriter,
  type TransactionalWriter,
} from './step-writer.ts'

export type WritersDeps = { readonly kafka: KafkaPort; readonly producer: Pick<Producer, 'send'> }

/** The writers of a runner's partitions under the guarantee of its version. */
export type PartitionWriters = {
  readonly transactional: boolean
  /**
   * Before a partition is restored: fences whoever wrote to it in transactions. The committed offset to begin from, which may be
   * younger than the one the group named: the fencing ends a commit that was still under way.
   */
  begin(assigned: Pick<AssignedPartition, 'topic' | 'partition' | 'committed'>): Promise<Committed | null>
  writerOf(partition: number, ends: PartitionEnds): StepWriter
  /** In the place of the loop's own commit. */
  commit(at: TopicPartition, progress: Progress): Promise<boolean>
  end(partition: number): Promise<void>
  close(): Promise<void>
}

export function createPartitionWriters(
  { kafka, producer }: WritersDeps,
  { exactlyOnce, topics, group }: { exactlyOnce: boolean; topics: StepTopics; group: string },
): PartitionWriters {
  /** One per partition: on the replay topic and on raw it is the same sequence of books. */
  const producers = new Map<number, Promise<TransactionalProducer>>()
  const writers = new Map<number, TransactionalWriter>()

  function open(partition: number): Promise<TransactionalProducer> {
    const options = { transactionalId: `${group}.${partition}`, group, topics: Object.values(topics) }
    const opening = producers.get(partition) ?? kafka.transactional(options)
    producers.set(partition, opening)
    return opening
  }

  async function end(partition: number): Promise<void> {
    const opened = producers.get(partition)
    producers.delete(partition)
    writers.delete(partition)
    // One that could not be opened has nothing to close.
    const owned = await opened?.catch(() => null)
    await owned?.close()
  }

  return {
    transactional: exactlyOnce,
    async begin({ topic, partition, committed }) {
      if (exactlyOnce) return (await open(partition)).committed(topic, partition)
      if (committed === null || !isTransactional(committed.metadata)) return committed
      // A version that was exactly-once until now: its last owner may have left a transaction open.
      const current = await (await open(partition)).committed(topic, partition)
      await end(partition)
      return current
    },
    writerOf(partition, ends) {
      if (!exactlyOnce) return createAckedWriter(producer, topics, { partition, ends })
      const writer = createLazyWriter(() => open(partition), topics)
      writers.set(partition, writer)
      return writer
    },
    async commit(at, progress) {
      await writers.get(at.partition)!.commit(at, progress)
      return true
    },
    end,
    async close() {
      await Promise.all([...producers.keys()].map(end))
    },
  }
}

function createLazyWriter(open: () => Promise<TransactionalProducer>, topics: StepTopics): TransactionalWriter {
  return createTransactionalWriter(
    {
      committed: async (topic, partition) => (await open()).committed(topic, partition),
      transact: async (step) => (await open()).transact(step),
      close: async () => (await open()).close(),
    },
    topics,
  )
}
