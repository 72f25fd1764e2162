import { refinedHash } from '@mesh/shared/core/books'
import { MAIN_LANE, parseMeshSrc } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { headerText } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { ReplayedHistory } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { type BookId, closeStep, openBooks, readBooks, refinedCommitEvent } from './core/books.ts'
import type { RefineCode } from './core/decide.ts'
import type { DedupeStore } from './core/dedupe.ts'
import type { DedupeScope } from './core/dedupe-scope.ts'
import { createPublishedFates } from './core/fates.ts'
import { payloadOf } from './core/refined-record.ts'
import type { PartitionState } from './partition-worker.ts'
import { partitionOffsets, restoreDedupe } from './restore-dedupe.ts'

export type RestoreDeps = {
  readonly kafka: Pick<KafkaPort, 'admin' | 'readRanges'>
  readonly topics: { readonly raw: string; readonly refined: string }
  readonly codeAt: (partition: number, offset: number) => RefineCode
  readonly scope: DedupeScope
  /** The dedupe store of a partition, with what an earlier process left in it. */
  readonly openDedupe: (scope: DedupeScope) => DedupeStore
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
  dedupe.cut(books.sourceNext)
  dedupe.committed(books.sourceNext)
  return { id, books, dedupe, fates, fatesEnd: output.highWatermark, announced }
}
