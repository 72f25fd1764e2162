import { refinedHash } from '@mesh/shared/core/books'
import { MAIN_LANE, PARKED_LANE, parseMeshSrc, parseOrigin } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { headerText } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { PartitionOffsets } from '@mesh/shared/kafka/port'
import { closeStep, openBooks } from './core/books.ts'
import { commitEvents, readBooks } from './core/books-metadata.ts'
import { createPublishedFates } from './core/fates.ts'
import { createKeyedState, createMemoryKeyedStore } from './core/keyed-state.ts'
import { createPublishedReleases } from './core/published-releases.ts'
import { payloadOf } from './core/refined-record.ts'
import type { RestoreDeps, RestoreFrom } from './restore-context.ts'
import { partitionOffsets, restoreDedupe } from './restore-dedupe.ts'
import { restoreKeyed } from './restore-keyed.ts'
import { restoreParked } from './restore-parked.ts'
import type { PartitionEnds } from './step-writer.ts'
import type { PartitionState } from './worker-context.ts'

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
  books.rawTime = dedupe.rawTime()
  const stateOffsets = await stateOffsetsOf(deps, id.partition)
  const parked = await restoreParked(deps, {
    of: { topicId: id.rawTopicId, partition: id.partition },
    books,
    state: stateOffsets,
    releases,
  })
  const keyed =
    deps.openKeyed === null
      ? createKeyedState(createMemoryKeyedStore())
      : await restoreKeyed({ ...deps, openKeyed: deps.openKeyed }, from, books.sourceNext)
  const fatesEnd = output.highWatermark
  return {
    state: { id, books, dedupe, keyed, fates, fatesEnd, parked, announced },
    ends: { refined: fatesEnd, state: stateOffsets?.highWatermark ?? null },
  }
}

/** A stream that was applied before there were state topics has none. */
async function stateOffsetsOf({ kafka, topics }: RestoreDeps, partition: number): Promise<PartitionOffsets | null> {
  const ids = await kafka.admin.topicIds([topics.state])
  return ids.has(topics.state) ? partitionOffsets(kafka, topics.state, partition) : null
}
