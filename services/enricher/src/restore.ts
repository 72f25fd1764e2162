import { refinedHash } from '@mesh/shared/core/books'
import { MAIN_LANE, PARKED_LANE, parseMeshSrc, parseOrigin } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { headerText, type RecordBatch } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { ReplayedHistory } from '@mesh/shared/core/versions'
import type { KafkaPort, PartitionOffsets } from '@mesh/shared/kafka/port'
import { readArrival, type Source } from './core/arrival.ts'
import { type BookId, closeStep, openBooks } from './core/books.ts'
import { commitEvents, readBooks } from './core/books-metadata.ts'
import type { RefineCode } from './core/decide.ts'
import { createDedupeStore, type DedupeStore } from './core/dedupe.ts'
import { createPublishedFates } from './core/fates.ts'
import { createPublishedReleases } from './core/published-releases.ts'
import { payloadOf } from './core/refined-record.ts'
import { rawSources, replayedSources } from './core/replayed.ts'
import { restoreParked } from './restore-parked.ts'
import type { PartitionEnds } from './step-writer.ts'
import type { PartitionState } from './worker-context.ts'

export type RestoreDeps = {
  readonly kafka: Pick<KafkaPort, 'admin' | 'readRanges'>
  readonly topics: { readonly raw: string; readonly refined: string; readonly state: string }
  readonly codeAt: (partition: number, offset: number) => RefineCode
  /** The longest dedupe window of the version's bundles. */
  readonly retainMs: number
  /** True: whoever wrote before is fenced, and what lies beyond books of a transaction is nobody's. */
  readonly transactional: boolean
  /** The history that the version was given, while its topic exists. */
  readonly replay: ReplayedHistory | null
}

export type RestoreFrom = {
  readonly id: BookId
  /** Metadata of the offset that carries the books; null before the first commit. */
  readonly metadata: string | null
  /** First raw offset that the version covers. */
  readonly start: number
  /** Where the books go on, when that is beyond their own position: the changeover. */
  readonly atLeast?: number
  /** End of what was read of the replay topic; null = all of it. */
  readonly replayedTo: number | null
}

export type Restored = { readonly state: PartitionState; readonly ends: PartitionEnds }

/** Rebuilds a partition's state from what is durable: the books, the own output after them, and the raw log within the window. */
export async function restorePartition(deps: RestoreDeps, from: RestoreFrom): Promise<Restored> {
  const { id, metadata, start } = from
  const place = `${deps.topics.refined}/${id.partition}`
  const output = await partitionOffsets(deps.kafka, deps.topics.refined, id.partition)
  const books = metadata === null ? openBooks(start, output.logStartOffset) : readBooks(metadata, place)
  const announced = metadata === null ? null : commitEvents(id, books, books.parked.next)
  closeStep(books)
  if (from.atLeast !== undefined && from.atLeast > books.sourceNext) books.sourceNext = from.atLeast
  if (books.refinedNext > output.highWatermark) {
    throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', 'the refined topic ends below what was written to it', { place })
  }
  if (books.refinedNext < output.logStartOffset) books.refinedNext = output.logStartOffset
  const fates = createPublishedFates(
    { lane: MAIN_LANE, topicId: id.rawTopicId, partition: id.partition },
    books.sourceNext,
  )
  const releases = createPublishedReleases(books.parked.next)
  const range = { partition: id.partition, from: books.refinedNext, to: output.highWatermark }
  if (range.from < range.to && !(deps.transactional && books.transactional)) {
    await deps.kafka.readRanges(deps.topics.refined, [range], (batch) => {
      for (const record of batch.records) {
        const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
        const hash = refinedHash(src, record.key, payloadOf(record.value))
        const output = { hash, refinedOffset: record.offset }
        if (src.topicId !== id.rawTopicId || src.partition !== id.partition) continue
        if (src.lane === MAIN_LANE) fates.add(src, output)
        else if (src.lane === PARKED_LANE) {
          releases.add(src, parseOrigin(headerText(record.headers, HEADER.origin) ?? ''), output)
        }
      }
    })
  }
  books.refinedNext = fates.pendingFrom(books.sourceNext) ?? output.highWatermark
  const dedupe = createDedupeStore(deps.retainMs)
  if (deps.retainMs > 0) await rebuildDedupe(deps, from, { dedupe, to: books.sourceNext, rawTime: books.rawTime })
  if (books.rawTime !== null) dedupe.advance(books.rawTime)
  books.rawTime = dedupe.rawTime()
  const stateOffsets = await stateOffsetsOf(deps, id.partition)
  const parked = await restoreParked(deps, {
    of: { topicId: id.rawTopicId, partition: id.partition },
    books,
    state: stateOffsets,
    releases,
  })
  const fatesEnd = output.highWatermark
  return {
    state: { id, books, dedupe, fates, fatesEnd, parked, announced },
    ends: { refined: fatesEnd, state: stateOffsets?.highWatermark ?? null },
  }
}

/**
 * Notes again every id that can still matter at `to`. Reading from the first timestamp ≥ rawTime − window is exact: whatever lies
 * before has a smaller timestamp, so the running maximum from there on is the true one, and what is skipped lies outside the window
 * of every record to come. Without a raw time (a version that starts inside the log) everything retained is read.
 */
async function rebuildDedupe(
  deps: RestoreDeps,
  { id, start, replayedTo }: RestoreFrom,
  { dedupe, to, rawTime }: { dedupe: DedupeStore; to: number; rawTime: number | null },
): Promise<void> {
  const { replay } = deps
  const { partition } = id
  let next = 0
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
  }
  let begun = false
  const read = async (topic: string, from: number, end: number, sources: (batch: RecordBatch) => Iterable<Source>) => {
    const { logStartOffset } = await partitionOffsets(deps.kafka, topic, partition)
    // Once a timestamp within the window was met, every later record counts, however small its own timestamp is.
    const oldest = Math.max(from, logStartOffset)
    const first = begun ? oldest : Math.max(oldest, await firstInWindow(deps, { topic, partition, rawTime }))
    if (first >= end) return
    begun = true
    await deps.kafka.readRanges(topic, [{ partition, from: first, to: end }], (batch) => note(sources(batch)))
  }
  if (replay === null) return read(deps.topics.raw, 0, to, rawSources)
  // What the version did not replay lies in raw below its start; the replay topic keeps everything between start and changeover.
  if (start > 0) await read(deps.topics.raw, 0, Math.min(start, to), rawSources)
  const end = replayedTo ?? (await partitionOffsets(deps.kafka, replay.topic, partition)).highWatermark
  await read(replay.topic, 0, end, (batch) => replayedSources(batch, end, { topicId: id.rawTopicId, partition }))
  if (replayedTo === null) await read(deps.topics.raw, replay.changeover[partition] ?? 0, to, rawSources)
}

async function firstInWindow(
  { kafka, retainMs }: RestoreDeps,
  { topic, partition, rawTime }: { topic: string; partition: number; rawTime: number | null },
): Promise<number> {
  if (rawTime === null || rawTime < retainMs) return 0
  const first = (await kafka.admin.offsetsAtTime(topic, rawTime - retainMs)).get(partition)
  return first ?? Number.MAX_SAFE_INTEGER
}

/** A stream that was applied before there were state topics has none. */
async function stateOffsetsOf({ kafka, topics }: RestoreDeps, partition: number): Promise<PartitionOffsets | null> {
  const ids = await kafka.admin.topicIds([topics.state])
  return ids.has(topics.state) ? partitionOffsets(kafka, topics.state, partition) : null
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
