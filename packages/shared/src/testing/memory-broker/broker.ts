import { MeshError } from '../../core/errors.ts'
import type { RecordToSend } from '../../core/record.ts'
import type { TopicSpec } from '../../kafka/port.ts'
import type { Scheduler } from '../../kafka/scheduler.ts'
import type { FaultHook, Network } from './endpoint.ts'
import { createGroupCoordinator, type GroupCoordinator } from './group-coordinator.ts'
import { type BatchStamp, createPartitionLog, type PartitionLog } from './partition-log.ts'
import { createTransactionCoordinator, type TransactionCoordinator } from './transaction-coordinator.ts'

export type Topic = {
  readonly id: string
  readonly partitions: readonly PartitionLog[]
  readonly config: Map<string, string>
}

/** One broker's state, which all clients of a test share. Its methods are what a request does once it has arrived. */
export type Broker = {
  readonly topics: ReadonlyMap<string, Topic>
  readonly groups: GroupCoordinator
  readonly transactions: TransactionCoordinator
  readonly scheduler: Scheduler
  readonly network: Network & { setFault(hook: Network['fault']): void; setLatency(hook: Network['latency']): void }
  topic(name: string): Topic
  log(topic: string, partition: number): PartitionLog
  create(spec: TopicSpec): void
  delete(topic: string): void
  append(topic: string, partition: number, records: readonly RecordToSend[], stamp: BatchStamp | null): number
  nextProducerId(): number
  /** Member ids are in order of joining. */
  nextMemberId(): string
  setMarkerDelay(ms: () => number): void
  /** Holds every request until `open`. */
  pause(): void
  open(): void
}

export function createBroker(scheduler: Scheduler): Broker {
  const topics = new Map<string, Topic>()
  const groups = createGroupCoordinator((topic) => topics.get(topic)?.partitions.length ?? 0)
  let counter = 0
  let markerDelay = (): number => 0
  let closed: PromiseWithResolvers<void> | null = null
  let fault: FaultHook = () => null
  let latency = (_request: Parameters<Network['latency']>[0]): number => 0

  function topic(name: string): Topic {
    const found = topics.get(name)
    if (!found) throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'there is no such topic', { place: name })
    return found
  }

  function log(name: string, partition: number): PartitionLog {
    const found = topic(name).partitions[partition]
    if (!found)
      throw new MeshError('MESH_KAFKA_UNAVAILABLE', 'there is no such partition', { place: `${name}/${partition}` })
    return found
  }

  const transactions = createTransactionCoordinator(
    scheduler,
    {
      mark(name, partition, { producerId, epoch }, control) {
        topics.get(name)?.partitions[partition]?.mark(producerId, epoch, control)
        groups.wakeAll()
      },
      commitOffset: (group, place, committed) => groups.set(group, place, committed),
      markerDelay: () => markerDelay(),
    },
    () => ++counter,
  )

  return {
    topics,
    groups,
    transactions,
    scheduler,
    topic,
    log,
    create({ name, partitions, config }) {
      const logs = Array.from({ length: partitions }, () => createPartitionLog(() => scheduler.now()))
      topics.set(name, { id: idOf(++counter), config: new Map(Object.entries(config)), partitions: logs })
    },
    delete: (name) => void topics.delete(name),
    append(name, partition, records, stamp) {
      const offset = log(name, partition).append(records, stamp)
      groups.wakeAll()
      return offset
    },
    nextProducerId: () => ++counter,
    nextMemberId: () => `member-${String(++counter).padStart(9, '0')}`,
    setMarkerDelay(ms) {
      markerDelay = ms
    },
    network: {
      fault: (request) => fault(request),
      latency: (request) => latency(request),
      open: () => closed?.promise ?? null,
      setFault(hook) {
        fault = hook
      },
      setLatency(hook) {
        latency = hook
      },
    },
    pause() {
      closed ??= Promise.withResolvers()
    },
    open() {
      closed?.resolve()
      closed = null
    },
  }
}

/** In the form of a topic id, and the same in every run. */
function idOf(n: number): string {
  return `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
}
