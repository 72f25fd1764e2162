import { refinedHash } from '@mesh/shared/core/books'
import { MAIN_LANE, PARKED_LANE, parseMeshSrc, parseOrigin } from '@mesh/shared/core/coordinate'
import { MeshError } from '@mesh/shared/core/errors'
import { headerText } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { ReplayedHistory } from '@mesh/shared/core/versions'
import type { KafkaPort, PartitionOffsets } from '@mesh/shared/kafka/port'
import { type BookId, closeStep, openBooks } from './core/books.ts'
import { commitEvents, readBooks } from './core/books-metadata.ts'
import type { RefineCode } from './core/decide.ts'
import type { DedupeStore } from './core/dedupe.ts'
import type { DedupeScope } from './core/dedupe-scope.ts'
import { createPublishedFates } from './core/fates.ts'
import { createKeyedState, createMemoryKeyedStore, type KeyedState } from './core/keyed-state.ts'
import { createPublishedReleases } from './core/published-releases.ts'
import { payloadOf } from './core/refined-record.ts'
import { partitionOffsets, restoreDedupe } from './restore-dedupe.ts'
import { restoreKeyed } from './restore-keyed.ts'
import { restoreParked } from './restore-parked.ts'
import type { PartitionEnds } from './step-writer.ts'
import type { PartitionState } from './worker-context.ts'

export type RestoreDeps = {
  readonly kafka: Pick<KafkaPort, 'admin' | 'readRanges'>
  readonly topics: { readonly raw: string; readonly refined: string; readonly state: string }
  readonly codeAt: (partition: number, offset: number) => RefineCode
  readonly scope: DedupeScope
  /** The dedupe store of a partition, with what an earlier process left in it. */
  readonly openDedupe: (scope: DedupeScope) => DedupeStore
  /** Opens what is kept of a change stream's keys; null for any other stream. */
  readonly openKeyed: ((id: BookId) => KeyedState) | null
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
