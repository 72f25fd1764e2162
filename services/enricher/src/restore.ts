import { refinedHash } from '@mesh/shared/core/books'
import { MAIN_LANE, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { headerText, type RecordBatch } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import { readArrival, type Source } from './core/arrival.ts'
import { closeStep, openBooks, readBooks, refinedCommitEvent } from './core/books.ts'
import { createDedupeStore, type DedupeStore } from './core/dedupe.ts'
import { createPublishedFates } from './core/fates.ts'
import { createKeyedState, createMemoryKeyedStore } from './core/keyed-state.ts'
import { payloadOf } from './core/refined-record.ts'
import { rawSources, replayedSources } from './core/replayed.ts'
import type { PartitionState } from './partition-worker.ts'
import { partitionOffsets, type RestoreDeps, type RestoreFrom } from './restore-deps.ts'
import { restoreKeyed } from './restore-keyed.ts'

/** Rebuilds a partition's state from what is durable: the books, the own output after them, and the raw log within the window. */
export async function restorePartition(deps: RestoreDeps, from: RestoreFrom): Promise<PartitionState> {
  const { id, metadata, start } = from
  const place = `${deps.topics.refined}/${id.partition}`
  const output = await partitionOffsets(deps.kafka, deps.topics.refined, id.partition)
  const books = metadata === null ? openBooks(start, output.logStartOffset) : readBooks(metadata, place)
  const announced = metadata === null ? null : refinedCommitEvent(id, books, '')
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
  const range = { partition: id.partition, from: books.refinedNext, to: output.highWatermark }
  if (range.from < range.to) {
    await deps.kafka.readRanges(deps.topics.refined, [range], (batch) => {
      for (const record of batch.records) {
        const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
        const hash = refinedHash(src, record.key, payloadOf(record.value))
        fates.add(src, { hash, refinedOffset: record.offset })
      }
    })
  }
  books.refinedNext = fates.pendingFrom(books.sourceNext) ?? output.highWatermark
  const dedupe = createDedupeStore(deps.retainMs)
  if (deps.retainMs > 0) await rebuildDedupe(deps, from, { dedupe, to: books.sourceNext, rawTime: books.rawTime })
  if (books.rawTime !== null) dedupe.advance(books.rawTime)
  const keyed =
    deps.openKeyed === null
      ? createKeyedState(createMemoryKeyedStore())
      : await restoreKeyed({ ...deps, openKeyed: deps.openKeyed }, from, books.sourceNext)
  return { id, books, dedupe, keyed, fates, fatesEnd: output.highWatermark, announced }
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
