import type { CommitEvent } from '@mesh/shared/core/books'
import type { KafkaRecord, RecordBatch } from '@mesh/shared/core/record'
import type { Assignment, Committed, GroupConsumerOptions, KafkaPort, Progress } from '@mesh/shared/kafka/port'
import { createMemoryObjectStore, type MemoryObjectStore } from '@mesh/shared/testing/memory-object-store'
import { type ChainTask, createChainRunner } from '../../src/chain-runner.ts'
import type { FlushLimits } from '../../src/core/chain-buffer.ts'
import { chainCommitEvent, NO_CODE } from '../../src/core/commit-event.ts'
import { createMemoryBudget, type MemoryBudget } from '../../src/core/memory-budget.ts'
import type { LakeSinkTelemetry } from '../../src/telemetry.ts'

/** What outlives a process: one partition's log, the lake, the group's offset, `mesh.commits`. */
export type World = {
  readonly topicId: string
  records: KafkaRecord[]
  logStartOffset: number
  highWatermark: number
  committed: Committed | null
  readonly objects: MemoryObjectStore
  readonly events: CommitEvent[]
  readonly log: string[]
}

export class Crash extends Error {}

/** A process ends at its n-th await of the outside world; from then on it can do nothing more. */
export type Fuse = { burn(): void; readonly burnt: () => boolean; readonly points: () => number }

export function createFuse(at: number = Number.POSITIVE_INFINITY): Fuse {
  let points = 0
  return {
    burn() {
      points++
      if (points >= at) throw new Crash(`crash at await ${at}`)
    },
    burnt: () => points >= at,
    points: () => points,
  }
}

export function createWorld(records: readonly KafkaRecord[], highWatermark?: number): World {
  return {
    topicId: 'topic-1',
    records: [...records],
    logStartOffset: 0,
    highWatermark: highWatermark ?? (records.at(-1)?.offset ?? -1) + 1,
    committed: null,
    objects: createMemoryObjectStore(),
    events: [],
    log: [],
  }
}

export type ProcessOptions = {
  readonly task: ChainTask
  readonly limits?: Partial<FlushLimits>
  readonly fuse?: Fuse
  readonly budget?: MemoryBudget
  readonly batch?: number
  readonly now?: () => number
}

/** One process that owns the partition, or believes to. */
export type Process = {
  assign(): Promise<Assignment>
  /** Hands over the next batch, false at the end of the log. */
  step(): Promise<boolean>
  tick(): Promise<void>
  close(): Promise<void>
  readonly position: () => number
}

export function startProcess(world: World, options: ProcessOptions): Process {
  const fuse = options.fuse ?? createFuse()
  const consumer = capture(world, options, fuse)
  let assignment: Assignment | null = null
  let position = 0

  function commit(progress: Progress | null): void {
    if (!progress) return
    fuse.burn()
    world.committed = { offset: progress.nextOffset, metadata: progress.metadata }
    fuse.burn()
  }

  return {
    position: () => position,
    async assign() {
      const { topicId, committed, logStartOffset, highWatermark } = world
      const topic = options.task.topic
      assignment = await consumer.assign({ topic, topicId, partition: 0, committed, logStartOffset, highWatermark })
      position = assignment.position
      return assignment
    },
    async step() {
      if (position >= world.highWatermark) return false
      const nextOffset = Math.min(position + (options.batch ?? 4), world.highWatermark)
      const records = world.records.filter(({ offset }) => offset >= position && offset < nextOffset)
      const at = { topic: options.task.topic, topicId: world.topicId, partition: 0, firstOffset: position, nextOffset }
      const batch: RecordBatch = { ...at, records }
      commit(await assignment!.handler.process(batch))
      position = nextOffset
      return true
    },
    tick: async () => commit(await assignment!.handler.tick!()),
    close: async () => commit(await assignment!.handler.close!('stopping')),
  }
}

/** Runs a process from assignment to close. True when it got to the end, false when its fuse burnt. */
export async function runProcess(world: World, options: ProcessOptions): Promise<boolean> {
  const process = startProcess(world, options)
  try {
    await process.assign()
    while (await process.step());
    await process.close()
    return true
  } catch (error) {
    if (error instanceof Crash) return false
    throw error
  }
}

function capture(world: World, options: ProcessOptions, fuse: Fuse): GroupConsumerOptions {
  let captured: GroupConsumerOptions | null = null
  const guard = { before: () => fuse.burn(), after: () => fuse.burn() }
  createChainRunner({
    task: options.task,
    tickMs: 1,
    store: guardedStore(world.objects, guard),
    limits: { maxRows: 3, maxBytes: 1e9, maxAgeMs: 1e9, ...options.limits },
    budget: options.budget ?? createMemoryBudget(1e9),
    now: options.now ?? (() => 0),
    telemetry: recordingTelemetry(world.log),
    onFatal: () => {},
    async publish(link) {
      fuse.burn()
      world.events.push(chainCommitEvent(link, NO_CODE, ''))
      fuse.burn()
    },
    kafka: {
      consumer(given: GroupConsumerOptions) {
        captured = given
        return {}
      },
      admin: {
        async topicIds(topics: readonly string[]) {
          fuse.burn()
          return new Map(topics.map((topic) => [topic, world.topicId]))
        },
      },
    } as unknown as KafkaPort,
  })
  return captured!
}

function guardedStore(store: MemoryObjectStore, guard: { before: () => void; after: () => void }): MemoryObjectStore {
  const around = async <T>(work: () => Promise<T>): Promise<T> => {
    guard.before()
    const result = await work()
    guard.after()
    return result
  }
  return {
    ...store,
    create: (key, bytes) => around(() => store.create(key, bytes)),
    get: (key) => around(() => store.get(key)),
    getRange: (key, start, end) => around(() => store.getRange(key, start, end)),
    size: (key) => around(() => store.size(key)),
  }
}

function recordingTelemetry(log: string[]): LakeSinkTelemetry {
  return {
    flushed: (_link, { reason }) => void log.push(`flushed:${reason}`),
    adopted: () => void log.push('adopted'),
    hole: () => void log.push('hole'),
    projected: () => {},
  }
}
