import { MeshError } from '@mesh/shared/core/errors'
import type { AssignedPartition, Assignment, KafkaPort } from '@mesh/shared/kafka/port'
import { type ChainLink, walkChain } from '@mesh/shared/lake/chain'
import type { ChainId } from '@mesh/shared/lake/chain-names'
import type { Service } from '@mesh/shared/runtime/service'
import { type ChainPartitionOptions, createChainPartition } from './chain-partition.ts'
import { booksAfter, buildHole } from './core/chain-file.ts'
import type { EntrySource } from './core/entry.ts'
import { resumePosition, walkHint } from './core/resume.ts'

/** One topic that becomes one chain per partition. */
export type ChainTask = Omit<ChainId, 'topicId' | 'partition'> & {
  readonly topic: string
  readonly groupId: string
  /** Identity that the topic must have, where it is recorded; null otherwise. */
  readonly topicId: string | null
  readonly openSource: (id: ChainId) => Promise<EntrySource>
}

type Shared = Pick<ChainPartitionOptions, 'store' | 'limits' | 'budget' | 'publish' | 'now' | 'telemetry'>
export type ChainRunnerOptions = Shared & {
  readonly kafka: KafkaPort
  readonly task: ChainTask
  readonly tickMs: number
  readonly onFatal: (error: unknown) => void
}

/** The consumer group of one layer of a stream's version: topic → chains. */
export function createChainRunner(options: ChainRunnerOptions): Service {
  const { task, store, kafka, telemetry } = options

  async function assign(assigned: AssignedPartition): Promise<Assignment> {
    const { topicId, partition } = assigned
    if (task.topicId !== null && task.topicId !== topicId) throw recreated(task.topic, topicId)
    const id: ChainId = { layer: task.layer, stream: task.stream, version: task.version, topicId, partition }
    const source = await task.openSource(id)
    const found = await walkChain(store, id, walkHint(id, assigned))
    const last = await bookHole(found, { id, assigned, source })
    // Its first announcement may have been lost with the process that made it.
    if (last) await options.publish(last)
    const checkTopic = (): Promise<void> => checkTopicId(topicId)
    const handler = createChainPartition({ ...options, id, last, source, checkTopic })
    return { position: last?.footer.nextOffset ?? 0, handler }
  }

  /** Books what retention took between the chain's end and the log start; the chain then reaches the log start. */
  async function bookHole(
    found: ChainLink | null,
    { id, assigned, source }: { id: ChainId; assigned: AssignedPartition; source: EntrySource },
  ): Promise<ChainLink | null> {
    let last = found
    for (;;) {
      const firstOffset = resumePosition(last, assigned)
      if (firstOffset >= assigned.logStartOffset) return last
      const range = { firstOffset, nextOffset: assigned.logStartOffset }
      const hole = buildHole(id, range, { columns: source.columns(), books: booksAfter(last?.footer ?? null) })
      const outcome = await store.create(hole.link.key, hole.content)
      if (outcome === 'created') telemetry.hole(hole.link)
      last = outcome === 'created' ? hole.link : await walkChain(store, id, firstOffset)
    }
  }

  async function checkTopicId(topicId: string): Promise<void> {
    const found = (await kafka.admin.topicIds([task.topic])).get(task.topic)
    if (found !== topicId) throw recreated(task.topic, found ?? 'none')
  }

  const consumer = kafka.consumer({
    groupId: task.groupId,
    topics: [task.topic],
    assign,
    tickMs: options.tickMs,
    onFatal: options.onFatal,
  })
  return { start: () => consumer.start(), stop: () => consumer.stop() }
}

function recreated(topic: string, topicId: string): MeshError {
  return new MeshError('MESH_KAFKA_TOPIC_RECREATED', `the broker has topic id ${topicId}`, { place: topic })
}
