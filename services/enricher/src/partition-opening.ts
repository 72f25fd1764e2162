import type { ReplayedHistory, StreamVersion, StreamVersions } from '@mesh/shared/core/versions'
import type {
  AssignedPartition,
  Assignment,
  Committed,
  GroupConsumer,
  KafkaPort,
  PartitionHandler,
  TopicPartition,
} from '@mesh/shared/kafka/port'
import { checkPosition } from './assigned-position.ts'
import {
  createRawHandler,
  createReplayHandler,
  createWaitingRawHandler,
  type HandlerPace,
  type HandOver,
  IDLE_HANDLER,
} from './handlers.ts'
import type { PartitionFlows } from './partition-flow.ts'
import type { PartitionWorker } from './partition-worker.ts'
import type { PartitionWriters } from './partition-writers.ts'
import type { RestoreFrom } from './restore-context.ts'

export type PartitionOpeningDeps = {
  readonly kafka: Pick<KafkaPort, 'admin'>
  readonly group: string
  readonly raw: string
  readonly state: Pick<StreamVersions, 'rawTopicId'>
  readonly version: Pick<StreamVersion, 'start'>
  /** The history that the group still reads. */
  readonly reading: ReplayedHistory | null
  readonly pace: HandlerPace
  readonly writers: Pick<PartitionWriters, 'begin'>
  readonly flows: PartitionFlows
  readonly consumer: () => Pick<GroupConsumer, 'resume' | 'positions'>
  readonly restored: (partition: number, from: Omit<RestoreFrom, 'id'>) => Promise<PartitionWorker>
  /** What the partition holds is not needed any more. */
  readonly letGo: (partition: number) => Promise<void>
}

export type PartitionOpening = { open(assigned: AssignedPartition): Promise<Assignment> }

/** Where an assigned partition goes on and with which handler: on the replay topic to its end, then on raw with the same worker. */
export function createPartitionOpening(deps: PartitionOpeningDeps): PartitionOpening {
  const { kafka, group, raw, state, version, reading, pace, writers, flows, consumer, restored } = deps
  /** Workers that have read the replay topic to its end and wait for their raw partition. */
  const finished = new Map<number, PartitionWorker>()
  /** The topics whose handlers of a partition are open or being opened, and the one of them that its worker works for. */
  const opened = new Map<number, Set<string>>()
  const owners = new Map<number, string>()

  async function openRaw(assigned: AssignedPartition): Promise<Assignment> {
    const { partition } = assigned
    finished.delete(partition)
    const committed = await writers.begin(assigned)
    const start = version.start[partition] ?? 0
    const flow = flows.of(raw, partition)
    if (committed !== null || reading === null) {
      const position = committed?.offset ?? start
      await checkPosition(kafka, assigned, position)
      const worker = await own(assigned, { metadata: committed?.metadata ?? null, start, replayedTo: null })
      return { position, handler: leaving(assigned, createRawHandler(worker, pace, { flow, position })) }
    }
    const changeover = reading.changeover[partition] ?? 0
    // Until the replay's end is known its changeover may still move on.
    if (endOf(partition) !== null) await checkPosition(kafka, assigned, changeover)
    const replayed = await writers.begin({
      topic: reading.topic,
      partition,
      committed: await committedOnReplay(partition),
    })
    if (replayFinished(partition, replayed?.offset ?? 0)) {
      const metadata = replayed?.metadata ?? null
      const worker = await own(assigned, { metadata, start, atLeast: changeover, replayedTo: null })
      finished.set(partition, worker)
    }
    const handOver = handOverOf(partition, raw)
    const handler = createWaitingRawHandler(changeover, pace, { handOver, flow })
    return { position: changeover, handler: leaving(assigned, handler), paused: true }
  }

  async function committedOnReplay(partition: number): Promise<Committed | null> {
    return (await kafka.admin.committed(group, reading!.topic)).get(partition) ?? null
  }

  async function openReplay(assigned: AssignedPartition): Promise<Assignment> {
    const { topic, partition } = assigned
    const committed = await writers.begin(assigned)
    const position = committed?.offset ?? 0
    const rawCommit = (await kafka.admin.committed(group, raw)).get(partition) ?? null
    const onRaw = (await writers.begin({ topic: raw, partition, committed: rawCommit })) !== null
    if (onRaw || replayFinished(partition, position)) return { position, handler: IDLE_HANDLER, paused: true }
    const start = version.start[partition] ?? 0
    const worker = await own(assigned, { metadata: committed?.metadata ?? null, start, replayedTo: position })
    const handler = createReplayHandler(
      worker,
      { topicId: state.rawTopicId, partition },
      {
        pace,
        replay: {
          end: endOf(partition),
          position: () => consumer().positions().get(`${topic}/${partition}`) ?? position,
        },
        handOver: handOverOf(partition, raw),
        flow: flows.of(topic, partition),
        position,
      },
    )
    return { position, handler: leaving(assigned, handler) }
  }

  async function own({ topic, partition }: TopicPartition, from: Omit<RestoreFrom, 'id'>): Promise<PartitionWorker> {
    owners.set(partition, topic)
    try {
      return await restored(partition, from)
    } catch (error) {
      owners.delete(partition)
      throw error
    }
  }

  /**
   * What a partition holds is let go when the handler leaves that its worker works for, and not by the other one before: its last commit
   * may be under way. At a stop only after the last commit.
   */
  function leaving({ topic, partition }: TopicPartition, handler: PartitionHandler): PartitionHandler {
    return {
      ...handler,
      async close(reason) {
        const progress = (await handler.close?.(reason)) ?? null
        flows.end(partition)
        const isLast = left(topic, partition)
        if (reason !== 'revoked' || (!isLast && owners.get(partition) !== topic)) return progress
        owners.delete(partition)
        await deps.letGo(partition)
        return progress
      },
    }
  }

  /** True when no handler of the partition is open any more. */
  function left(topic: string, partition: number): boolean {
    const topics = opened.get(partition)
    topics?.delete(topic)
    return topics === undefined || topics.size === 0
  }

  async function open(assigned: AssignedPartition): Promise<Assignment> {
    const { topic, partition } = assigned
    opened.set(partition, (opened.get(partition) ?? new Set()).add(topic))
    try {
      const assignment = await (topic === raw ? openRaw(assigned) : openReplay(assigned))
      // Nobody is told when one that does nothing leaves.
      if (assignment.handler === IDLE_HANDLER) left(topic, partition)
      return assignment
    } catch (error) {
      left(topic, partition)
      throw error
    }
  }

  function endOf(partition: number): number | null {
    return reading?.ends?.[partition] ?? null
  }

  function replayFinished(partition: number, position: number): boolean {
    const end = endOf(partition)
    return end !== null && position >= end
  }

  function handOverOf(partition: number, topic: string): HandOver {
    return {
      take: () => finished.get(partition) ?? null,
      give(worker) {
        finished.set(partition, worker)
        owners.set(partition, raw)
      },
      open: () => consumer().resume(topic, partition),
    }
  }

  return { open }
}
