import { MeshError } from '@mesh/shared/core/errors'
import type { RecordBatch } from '@mesh/shared/core/record'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { rawTopic } from '@mesh/shared/core/topics'
import type { PartitionRange } from '@mesh/shared/kafka/port'
import { gapError, gapsOf, lakeEnd } from './plan.ts'
import type { History, ReplayTopic, Topics } from './ports.ts'
import { chunksOf } from './replay-record.ts'
import type { RateLimit } from './token-bucket.ts'

export type EmissionPorts = {
  readonly history: History
  readonly topics: Topics
  readonly replayTopic: ReplayTopic
  /** Partitions read from the lake at a time. */
  readonly lakeReads: number
}

export type EmissionState = { readonly positions: readonly number[]; readonly emitted: readonly number[] }

export type EmissionOptions = {
  readonly limit: RateLimit
  readonly signal: AbortSignal
  /** Awaited after each chunk is durable. */
  readonly onChunk: (state: EmissionState) => Promise<void>
}

/** Longest that one reading of the log takes under a rate limit. */
const PAGE_SECONDS = 20

/** Ends the reading of a source: the job was cancelled or the process stops. */
export class EmissionStopped extends Error {
  override readonly name = 'EmissionStopped'
}

/**
 * Writes [from, changeover) of every raw partition to the job's replay topic, in source order per partition, at least once. It
 * begins after the last `mesh-src` that each partition of the replay topic holds, so it may be stopped anywhere and called again.
 * A repeated record has the coordinate of the first one, and its readers leave it out.
 */
export async function emitHistory(
  job: ReplayJob,
  ports: EmissionPorts,
  options: EmissionOptions,
): Promise<EmissionState> {
  const { plan, stream, changeover } = job
  const last = await ports.replayTopic.lastSources(job.replayTopic)
  const positions = plan.partitions.map(({ from }, p) => Math.max(from, (last[p] ?? -1) + 1))
  const emitted = plan.partitions.map(() => 0)
  const of = (partition: number) => ({ stream, topicId: plan.rawTopicId, partition })
  const unfinished = (): number[] => changeover.flatMap((to, p) => (positions[p]! < to ? [p] : []))

  async function emitBatch(batch: RecordBatch): Promise<void> {
    const p = batch.partition
    if (batch.topicId !== plan.rawTopicId) throw recreated(job)
    // A reader that was assigned anew begins its range again.
    if (batch.nextOffset <= positions[p]!) return
    const cut = { from: positions[p]!, job: job.id, maxRecords: options.limit.burst }
    for (const { records, nextOffset } of chunksOf(batch, cut)) {
      await options.limit.take(records.length, options.signal)
      if (options.signal.aborted) throw new EmissionStopped('stopped before the next chunk')
      if (records.length > 0) await ports.replayTopic.send(job.replayTopic, records)
      positions[p] = nextOffset
      emitted[p]! += records.length
      await options.onChunk({ positions, emitted })
    }
  }

  async function emitLake(p: number, to: number): Promise<void> {
    for await (const batch of ports.history.readLake(of(p), { from: positions[p]!, to })) await emitBatch(batch)
  }

  /** In pages when the rate is limited: a reader must not be held for longer than its group's patience. */
  async function emitLog(partitions: readonly number[]): Promise<void> {
    for (;;) {
      const open = partitions.filter((p) => positions[p]! < changeover[p]!)
      if (open.length === 0) return
      const page = Math.ceil((options.limit.burst * PAGE_SECONDS) / open.length)
      const ranges = open.map((partition): PartitionRange => {
        const from = positions[partition]!
        return { partition, from, to: Math.min(changeover[partition]!, from + page) }
      })
      await ports.history.readLog(rawTopic(stream), ranges, emitBatch)
    }
  }

  while (unfinished().length > 0) {
    const before = positions.join()
    await checkRawTopic(job, ports.topics)
    const offsets = await ports.topics.offsets(rawTopic(stream))
    const split = new Map<number, number>()
    for (const p of unfinished()) {
      const range = { from: positions[p]!, to: changeover[p]! }
      const lake = plan.source === 'log' ? { nextOffset: 0, holes: [] } : await ports.history.lakeCover(of(p))
      const lakeTo = lakeEnd(plan.source, range, { lake })
      const gaps = gapsOf(plan.source, { partition: p, ...range, lakeTo }, { ...offsets[p]!, lake })
      if (gaps.length > 0) throw gapError(gaps)
      split.set(p, lakeTo)
    }
    await eachOf([...split], ports.lakeReads, ([p, lakeTo]) => emitLake(p, lakeTo))
    const throughLake = [...split.keys()].filter((p) => positions[p]! >= split.get(p)!)
    if (plan.source !== 'lake') await emitLog(throughLake)
    if (positions.join() === before) {
      throw gapError(
        unfinished().map((p) => ({ partition: p, from: positions[p]!, to: changeover[p]!, missingFrom: 'lake' })),
      )
    }
  }
  return { positions, emitted }
}

async function checkRawTopic({ stream, plan }: ReplayJob, topics: Topics): Promise<void> {
  const topic = rawTopic(stream)
  const id = (await topics.ids([topic])).get(topic)
  if (id !== plan.rawTopicId) throw recreated({ stream })
}

function recreated({ stream }: Pick<ReplayJob, 'stream'>): MeshError {
  const place = rawTopic(stream)
  return new MeshError('MESH_KAFKA_TOPIC_RECREATED', `${place} is not the topic that the replay was planned on`, {
    place,
  })
}

/** At most `width` at a time. After a failure nothing more is begun, and what runs is awaited before it is thrown. */
async function eachOf<T>(items: readonly T[], width: number, work: (item: T) => Promise<void>): Promise<void> {
  const left = [...items]
  let failed = false
  async function lane(): Promise<void> {
    for (let item = left.shift(); item !== undefined && !failed; item = left.shift()) {
      try {
        await work(item)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(width, left.length) }, lane))
  for (const result of lanes) if (result.status === 'rejected') throw result.reason
}
