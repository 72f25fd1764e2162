import { isMeshError } from '@mesh/shared/core/errors'
import type { JoinScope } from '@mesh/shared/core/join-scope'
import { deadLetterTopic, enricherGroup, rawTopic, refinedTopic, stateTopic } from '@mesh/shared/core/topics'
import {
  bundleAt,
  newestBundle,
  type ReplayedHistory,
  type StreamVersion,
  type StreamVersions,
} from '@mesh/shared/core/versions'
import type {
  AssignedPartition,
  Assignment,
  Committed,
  GroupConsumer,
  KafkaPort,
  PartitionHandler,
  Producer,
} from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'
import type { CodeLoader } from './adapters/code-loader.ts'
import type { JoinTables } from './adapters/join-tables.ts'
import { createParkedReader } from './adapters/parked-reader.ts'
import { createRangeReader } from './adapters/range-reader.ts'
import { checkPosition, unlessMovedOn } from './assigned-position.ts'
import type { RefineCode } from './core/decide.ts'
import { dedupeScope } from './core/dedupe-scope.ts'
import { isChangeStream } from './core/read-change.ts'
import {
  createRawHandler,
  createReplayHandler,
  createWaitingRawHandler,
  type HandlerPace,
  type HandOver,
  IDLE_HANDLER,
  transactionPace,
} from './handlers.ts'
import type { Look } from './join-record.ts'
import { openOrStand } from './open-or-stand.ts'
import { createPartitionFlows, type FlowDeps } from './partition-flow.ts'
import { createPartitionStores, type PartitionStoresDeps } from './partition-stores.ts'
import { createPartitionWorker, type PartitionWorker } from './partition-worker.ts'
import { createPartitionWriters } from './partition-writers.ts'
import { createRawLog } from './raw-log.ts'
import { restorePartition } from './restore.ts'
import { createRunnerJoins } from './runner-joins.ts'
import type { ParkingContext, WorkerContext } from './worker-context.ts'

export type RunnerDeps = Pick<WorkerContext, 'publish' | 'limits' | 'wallClock' | 'epochMs' | 'random' | 'telemetry'> &
  FlowDeps &
  PartitionStoresDeps & {
    readonly producer: Pick<Producer, 'send'>
    readonly parking: Omit<ParkingContext, 'read'>
    readonly kafka: KafkaPort
    readonly codes: CodeLoader
    readonly tables: JoinTables
    readonly look: Look
    /** `transactionIntervalMs` takes the place of the commit interval under exactly-once. */
    readonly pace: HandlerPace & { readonly transactionIntervalMs: number }
    readonly onFatal: (error: unknown) => void
  }

export type RunnerTask = {
  readonly state: StreamVersions
  readonly version: StreamVersion
  /** Live versions of the streams that its bundles join. */
  readonly joined: ReadonlyMap<string, number>
  /** Which part of each table is needed, by `tableName`; one that is not named is needed whole. */
  readonly scopes: ReadonlyMap<string, JoinScope>
}

/** Refines one stream under one version: a consumer group over raw, and over the replay topic until its history is read. */
export function createRunner(deps: RunnerDeps, { state, version, joined, scopes }: RunnerTask): Service {
  const { kafka } = deps
  const topics = {
    raw: rawTopic(state.stream),
    refined: refinedTopic(state.stream, version.version),
    deadLetter: deadLetterTopic(state.stream),
    state: stateTopic(state.stream, version.version),
  }
  const readRanges = createRangeReader(kafka)
  const group = enricherGroup(state.stream, version.version)
  const codes = new Map<string, RefineCode>()
  const finished = new Map<number, PartitionWorker>()
  const stores = createPartitionStores(deps)
  const workers = new Map<number, PartitionWorker>()
  let pace: HandlerPace = deps.pace
  let writers: ReturnType<typeof createPartitionWriters>
  let replay: ReplayedHistory | null = null
  let reading: ReplayedHistory | null = null
  let consumer: GroupConsumer

  const log = createRawLog(kafka.admin, state, group)
  const flows = createPartitionFlows(deps, { stream: state.stream, version: version.version }, () => consumer)
  const joins = createRunnerJoins({
    tables: deps.tables,
    look: deps.look,
    codeAt,
    joined,
    scopes,
    raw: { topic: topics.raw, partitions: state.partitions },
    admin: kafka.admin,
    beyondHistory: (as) => deps.telemetry.beyondHistory(state.stream, version.version, as),
    widened: (table, reason) => deps.telemetry.joinWidened(state.stream, version.version, { table, reason }),
    wake,
  })

  const context: WorkerContext = {
    ...deps,
    topics,
    group,
    codeAt,
    join: joins.join,
    prefetch: joins.prefetch,
    parking: { ...deps.parking, read: createParkedReader({ readRanges }, topics.state) },
  }

  function codeAt(partition: number, offset: number): RefineCode {
    return codes.get(bundleAt(version, partition, offset).hash)!
  }

  async function start(): Promise<void> {
    for (const binding of version.bundles) codes.set(binding.hash, await deps.codes.load(binding))
    // The newest bundle says how is written, also what an older one decides.
    const { guarantee } = codes.get(newestBundle(version).hash)!.contract.refine
    const exactlyOnce = guarantee === 'exactly-once'
    if (exactlyOnce) pace = transactionPace(deps.pace, deps.pace.transactionIntervalMs)
    writers = createPartitionWriters(deps, { exactlyOnce, topics, group })
    await log.checkIdentity()
    replay = await log.existing(version.replay)
    reading = replay === null || (await log.allOnRaw()) ? null : replay
    try {
      await joins.acquire(codes.values())
      consumer = kafka.consumer({
        groupId: group,
        topics: reading === null ? [topics.raw] : [reading.topic, topics.raw],
        assign,
        reopens: (error) => isMeshError(error) && error.code === 'MESH_REFINE_FENCED',
        tickMs: pace.tickMs,
        ...(exactlyOnce && { commit: (at, progress) => writers.commit(at, progress) }),
        onFatal: deps.onFatal,
      })
      await consumer.start()
    } catch (error) {
      await joins.release()
      throw error
    }
  }

  function wake(awaited: string, partition: number | null): void {
    if (partition !== null) return workers.get(partition)?.wake(awaited)
    for (const worker of workers.values()) worker.wake(awaited)
  }

  function assign(assigned: AssignedPartition): Promise<Assignment> {
    const { topic, partition } = assigned
    const open = topic === topics.raw ? assignRaw : assignReplay
    return openOrStand(() => unlessMovedOn({ kafka, group }, assigned, () => open(assigned)), {
      assigned,
      flow: flows.of(topic, partition),
      pace,
      consumer: () => consumer,
    })
  }

  async function letGo(partition: number): Promise<void> {
    workers.delete(partition)
    stores.release(partition)
    joins.leave(partition)
    await writers.end(partition)
  }

  async function assignRaw(assigned: AssignedPartition): Promise<Assignment> {
    const { partition } = assigned
    finished.delete(partition)
    const committed = await writers.begin(assigned)
    const start = version.start[partition] ?? 0
    const flow = flows.of(topics.raw, partition)
    if (committed !== null || reading === null) {
      const position = committed?.offset ?? start
      await checkPosition(kafka, assigned, position)
      const worker = await restored(partition, { metadata: committed?.metadata ?? null, start, replayedTo: null })
      return { position, handler: leaving(partition, createRawHandler(worker, pace, { flow, position })) }
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
      const worker = await restored(partition, { metadata, start, atLeast: changeover, replayedTo: null })
      finished.set(partition, worker)
    }
    const handOver = handOverOf(partition, topics.raw)
    const handler = createWaitingRawHandler(changeover, pace, { handOver, flow })
    return { position: changeover, handler: leaving(partition, handler), paused: true }
  }

  async function committedOnReplay(partition: number): Promise<Committed | null> {
    return (await kafka.admin.committed(group, reading!.topic)).get(partition) ?? null
  }

  async function assignReplay(assigned: AssignedPartition): Promise<Assignment> {
    const { topic, partition } = assigned
    const committed = await writers.begin(assigned)
    const position = committed?.offset ?? 0
    const rawCommit = (await kafka.admin.committed(group, topics.raw)).get(partition) ?? null
    const onRaw = (await writers.begin({ topic: topics.raw, partition, committed: rawCommit })) !== null
    if (onRaw || replayFinished(partition, position)) return { position, handler: IDLE_HANDLER, paused: true }
    const start = version.start[partition] ?? 0
    const worker = await restored(partition, { metadata: committed?.metadata ?? null, start, replayedTo: position })
    const handler = createReplayHandler(
      worker,
      { topicId: state.rawTopicId, partition },
      {
        pace,
        replay: {
          end: endOf(partition),
          position: () => consumer.positions().get(`${topic}/${partition}`) ?? position,
        },
        handOver: handOverOf(partition, topics.raw),
        flow: flows.of(topic, partition),
        position,
      },
    )
    return { position, handler: leaving(partition, handler) }
  }

  /** What a partition holds is let go when it leaves; at a stop only after the last commit. */
  function leaving(partition: number, handler: PartitionHandler): PartitionHandler {
    return {
      ...handler,
      async close(reason) {
        const progress = (await handler.close?.(reason)) ?? null
        flows.end(partition)
        if (reason === 'revoked') await letGo(partition)
        return progress
      },
    }
  }

  async function restored(
    partition: number,
    from: { metadata: string | null; start: number; atLeast?: number; replayedTo: number | null },
  ): Promise<PartitionWorker> {
    const id = { stream: state.stream, version: version.version, rawTopicId: state.rawTopicId, partition }
    const scope = dedupeScope(id, version, (binding) => codes.get(binding.hash)!.contract)
    const began = deps.pace.now()
    const changes = [...codes.values()].some((code) => isChangeStream(code.contract))
    const restoring = {
      kafka: { admin: kafka.admin, readRanges },
      topics,
      codeAt,
      scope,
      openDedupe: stores.openDedupe,
      openKeyed: changes ? stores.openKeyed : null,
      replay,
      transactional: writers.transactional,
    }
    try {
      await joins.enter(partition)
      const { state: partitionState, ends } = await restorePartition(restoring, { id, ...from })
      const worker = createPartitionWorker(partitionState, context, writers.writerOf(partition, ends))
      workers.set(partition, worker)
      await worker.clean()
      deps.telemetry.restored(id, { ms: deps.pace.now() - began, dedupeIds: worker.dedupeIds() })
      await worker.republish()
      return worker
    } catch (error) {
      await letGo(partition)
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
      give: (worker) => finished.set(partition, worker),
      open: () => consumer.resume(topic, partition),
    }
  }

  return {
    start,
    async stop() {
      await consumer.stop()
      await writers.close()
      stores.close()
      await joins.release()
    },
  }
}
