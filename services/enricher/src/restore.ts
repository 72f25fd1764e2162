import { refinedHash } from '@mesh/shared/core/books'
import { MAIN_LANE, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { headerText } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import { closeStep, openBooks, readBooks, refinedCommitEvent } from './core/books.ts'
import { createPublishedFates } from './core/fates.ts'
import { createKeyedState, createMemoryKeyedStore } from './core/keyed-state.ts'
import { payloadOf } from './core/refined-record.ts'
import type { PartitionState } from './partition-worker.ts'
import { restoreDedupe } from './restore-dedupe.ts'
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
  const dedupe = deps.openDedupe(deps.scope)
  try {
    if (deps.scope.retainMs > 0)
      await restoreDedupe(deps, from, { dedupe, to: books.sourceNext, rawTime: books.rawTime })
  } catch (error) {
    dedupe.close()
    throw error
  }
  if (books.rawTime !== null) dedupe.advance(books.rawTime)
  const keyed =
    deps.openKeyed === null
      ? createKeyedState(createMemoryKeyedStore())
      : await restoreKeyed({ ...deps, openKeyed: deps.openKeyed }, from, books.sourceNext)
  dedupe.cut(books.sourceNext)
  dedupe.committed(books.sourceNext)
  return { id, books, dedupe, keyed, fates, fatesEnd: output.highWatermark, announced }
}
