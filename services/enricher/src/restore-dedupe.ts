import { MeshError } from '@mesh/shared/core/errors'
import type { RecordBatch } from '@mesh/shared/core/record'
import type { KafkaPort, PartitionOffsets } from '@mesh/shared/kafka/port'
import { readArrival, type Source } from './core/arrival.ts'
import type { DedupeStore } from './core/dedupe.ts'
import { rawSources, replayedSources } from './core/replayed.ts'
import type { RestoreDeps, RestoreFrom } from './restore-context.ts'

export type DedupeGap = {
  readonly dedupe: DedupeStore
  /** Next source offset to decide. */
  readonly to: number
  /** Raw time at `to`, where known. */
  readonly rawTime: number | null
}

/**
 * Notes every id that can still matter at `to`: from where the store ends, or, where it holds nothing that could be gone on from,
 * from the first timestamp ≥ rawTime − window. That is exact: whatever lies before has a smaller timestamp, so the running maximum
 * from there on is the true one, and what is skipped lies outside the window of every record to come. Without a raw time (a version
 * that starts inside the log) everything retained is read.
 */
export async function restoreDedupe(deps: RestoreDeps, from: RestoreFrom, gap: DedupeGap): Promise<void> {
  const { replay } = deps
  const { dedupe, to } = gap
  const { partition } = from.id
  const held = dedupe.position()
  if (held !== null && !(await reaches(deps, from, gap, held))) dedupe.clear()
  let next = dedupe.position() ?? 0
  let begun = dedupe.position() !== null

  const note = (sources: Iterable<Source>): void => {
    for (const source of sources) {
      const { offset } = source.at
      if (offset < next || offset >= to) continue
      next = offset + 1
      const { contract } = deps.codeAt(partition, offset)
      const arrival = readArrival(source, contract)
      dedupe.advance(source.record.timestamp)
      if (arrival.kind !== 'poison') dedupe.note(arrival.eventId, contract.refine.dedupeWindowMs)
    }
    // All of it lies below the committed position.
    dedupe.cut(next)
    dedupe.committed(next)
  }
  const read = async (topic: string, at: number, end: number, sources: (batch: RecordBatch) => Iterable<Source>) => {
    const { logStartOffset } = await partitionOffsets(deps.kafka, topic, partition)
    // Once a timestamp within the window was met, every later record counts, however small its own timestamp is.
    const oldest = Math.max(at, logStartOffset)
    const first = begun ? oldest : Math.max(oldest, await firstInWindow(deps, topic, partition, gap.rawTime))
    if (first >= end) return
    begun = true
    await deps.kafka.readRanges(topic, [{ partition, from: first, to: end }], (batch) => note(sources(batch)))
  }
  if (replay === null) return read(deps.topics.raw, next, to, rawSources)
  const changeover = replay.changeover[partition] ?? 0
  // What the version did not replay lies in raw below its start; the replay topic keeps everything between start and changeover.
  if (next < Math.min(from.start, to)) await read(deps.topics.raw, next, Math.min(from.start, to), rawSources)
  if (next < changeover) {
    const end = from.replayedTo ?? (await partitionOffsets(deps.kafka, replay.topic, partition)).highWatermark
    const of = { topicId: from.id.rawTopicId, partition }
    await read(replay.topic, 0, end, (batch) => replayedSources(batch, end, of))
  }
  if (from.replayedTo === null) await read(deps.topics.raw, Math.max(changeover, next), to, rawSources)
}

/** Whether the records between the store's end and `to` can still be read. One that is ahead of `to` holds ids of records to come. */
async function reaches(
  deps: RestoreDeps,
  from: RestoreFrom,
  { to, rawTime }: DedupeGap,
  held: number,
): Promise<boolean> {
  if (held > to) return false
  const { topics, replay } = deps
  const { partition } = from.id
  const raw = await partitionOffsets(deps.kafka, topics.raw, partition)
  const replayed = replay !== null && held < (replay.changeover[partition] ?? 0)
  if (replayed) return held >= from.start || held >= raw.logStartOffset
  if (held < raw.logStartOffset) return false
  // Of a store that ends before the window nothing is of use, and the way from there is longer.
  return held === to || held >= (await firstInWindow(deps, topics.raw, partition, rawTime))
}

async function firstInWindow(
  { kafka, scope: { retainMs } }: RestoreDeps,
  topic: string,
  partition: number,
  rawTime: number | null,
): Promise<number> {
  if (rawTime === null || rawTime < retainMs) return 0
  const first = (await kafka.admin.offsetsAtTime(topic, rawTime - retainMs)).get(partition)
  return first ?? Number.MAX_SAFE_INTEGER
}

export async function partitionOffsets(
  kafka: Pick<KafkaPort, 'admin'>,
  topic: string,
  partition: number,
): Promise<PartitionOffsets> {
  const found = (await kafka.admin.offsets(topic)).find((offsets) => offsets.partition === partition)
  if (!found)
    throw new MeshError('MESH_STREAM_UNKNOWN', 'the partition does not exist', { place: `${topic}/${partition}` })
  return found
}
