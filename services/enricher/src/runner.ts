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
import type { AssignedPartition, Assignment, GroupConsumer, KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { Service } from '@mesh/shared/runtime/service'
import type { CodeLoader } from './adapters/code-loader.ts'
import type { JoinTables } from './adapters/join-tables.ts'
import { createParkedReader } from './adapters/parked-reader.ts'
import { createRangeReader } from './adapters/range-reader.ts'
import { unlessMovedOn } from './assigned-position.ts'
import type { RefineCode } from './core/decide.ts'
import { dedupeScope } from './core/dedupe-scope.ts'
import { isChangeStream } from './core/read-change.ts'
import { type HandlerPace, transactionPace } from './handlers.ts'
import type { Look } from './join-record.ts'
import { openOrStand } from './open-or-stand.ts'
import { createPartitionFlows, type FlowDeps } from './partition-flow.ts'
import { createPartitionOpening, type PartitionOpening } from './partition-opening.ts'
import { createPartitionStores, type PartitionStoresDeps } from './partition-stores.ts'
import { createPartitionWorker, type PartitionWorker } from './partition-worker.ts'
import { createPartitionWriters } from './partition-writers.ts'
import { createRawLog } from './raw-log.ts'
import { restorePartition } from './restore.ts'
import type { RestoreFrom } from './restore-context.ts'
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
  const stores = createPartitionStores(deps)
  const workers = new Map<number, PartitionWorker>()
  let pace: HandlerPace = deps.pace
  let writers: ReturnType<typeof createPartitionWriters>
  let replay: ReplayedHistory | null = null
  let opening: PartitionOpening
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
    const reading = replay === null || (await log.allOnRaw()) ? null : replay
    opening = createPartitionOpening({
      kafka,
      group,
      raw: topics.raw,
      state,
      version,
      reading,
      pace,
      writers,
      flows,
      consumer: () => consumer,
      restored,
      letGo,
    })
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
    return openOrStand((current) => unlessMovedOn({ kafka, group }, current, () => open(current)), {
      assigned,
      flow: flows.of(topic, partition),
      pace,
      consumer: () => consumer,
    })
  }

  async function open(assigned: AssignedPartition): Promise<Assignment> {
    const { partition } = assigned
    try {
      return await opening.open(assigned)
    } catch (error) {
      // The next opening must fence whoever writes by then: it needs an id of its own.
      if (!workers.has(partition)) await writers.end(partition)
      throw error
    }
  }

  async function letGo(partition: number): Promise<void> {
    workers.delete(partition)
    stores.release(partition)
    joins.leave(partition)
    await writers.end(partition)
  }

  async function restored(partition: number, from: Omit<RestoreFrom, 'id'>): Promise<PartitionWorker> {
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
      openBodies: stores.openBodies,
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
