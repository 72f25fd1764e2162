import {
  addHash,
  type CommitEvent,
  type Counts,
  formatHash,
  type HashSum,
  parseHash,
  ZERO_COUNTS,
} from '@mesh/shared/core/books'
import { MAIN_LANE } from '@mesh/shared/core/coordinate'
import { describeError, MeshError } from '@mesh/shared/core/errors'
import type { Fate } from './decide.ts'

/** Which sequence the books are about: one raw partition under one version. */
export type BookId = {
  readonly stream: string
  readonly version: number
  readonly rawTopicId: string
  readonly partition: number
}

/** What the last step added; the books themselves are cumulative. */
export type Step = { firstOffset: number; bytes: number; minEventTime: number | null; maxEventTime: number | null }

/**
 * Cumulative books of a raw partition, in the order of source offsets. Mutable and owned by the partition's worker; stored as
 * metadata of the group offset, so they move atomically with it.
 */
export type Books = {
  /** Next raw offset to decide. On a replay topic this is the source's offset, not the topic's own. */
  sourceNext: number
  /** Next offset of the refined partition: own output from here on is not covered by these books. */
  refinedNext: number
  /** Highest Kafka timestamp below `sourceNext`; null before the first record. */
  rawTime: number | null
  counts: { -readonly [K in keyof Counts]: number }
  hash: HashSum
  codeHash: string
  contractHash: string
  step: Step
}

export function openBooks(sourceNext: number, refinedNext: number): Books {
  const step = { firstOffset: sourceNext, bytes: 0, minEventTime: null, maxEventTime: null }
  return {
    sourceNext,
    refinedNext,
    rawTime: null,
    counts: { ...ZERO_COUNTS },
    hash: 0n,
    codeHash: '',
    contractHash: '',
    step,
  }
}

/** Books one record's fate. */
export function bookFate(books: Books, fate: Fate): void {
  const { counts } = books
  switch (fate.kind) {
    case 'ok':
      counts.ok++
      counts.outputs += fate.records.length
      books.hash = addHash(books.hash, fate.hash)
      return
    case 'published':
      counts.ok++
      counts.outputs += fate.outputs
      books.hash = addHash(books.hash, fate.hash)
      return
    case 'duplicate':
      counts.duplicate++
      return
    case 'drop':
      counts.drop++
      return
    case 'deadLetter':
      counts.deadLetter++
      return
  }
}

export function bookEventTime({ step }: Books, eventTimeMs: number): void {
  if (step.minEventTime === null || eventTimeMs < step.minEventTime) step.minEventTime = eventTimeMs
  if (step.maxEventTime === null || eventTimeMs > step.maxEventTime) step.maxEventTime = eventTimeMs
}

/** Begins the next step where this one ended. */
export function closeStep(books: Books): void {
  books.step = { firstOffset: books.sourceNext, bytes: 0, minEventTime: null, maxEventTime: null }
}

/** The metadata of a group offset: about 500 bytes of the 4,096 that the broker takes. */
export function booksMetadata(books: Books): string {
  const { sourceNext, refinedNext, rawTime, counts, codeHash, contractHash, step } = books
  return JSON.stringify({
    v: 1,
    refinedNext,
    counts,
    hash: formatHash(books.hash),
    codeHash,
    contractHash,
    sourceNext,
    rawTime,
    step,
  })
}

/** @throws MeshError MESH_REFINE_BOOKS_LOST when the metadata is not the enricher's: without it the books cannot go on. */
export function readBooks(metadata: string, place: string): Books {
  try {
    const stored = JSON.parse(metadata) as Omit<Books, 'hash'> & { v: number; hash: string }
    if (stored.v !== 1 || !Number.isSafeInteger(stored.refinedNext) || !Number.isSafeInteger(stored.sourceNext)) {
      throw new Error('no refinedNext or sourceNext')
    }
    const { v: _, ...books } = stored
    return { ...books, counts: { ...ZERO_COUNTS, ...books.counts }, hash: parseHash(stored.hash) }
  } catch (error) {
    throw new MeshError('MESH_REFINE_BOOKS_LOST', `the committed offset carries no books: ${describeError(error)}`, {
      place,
    })
  }
}

/** The commit event that publishes the books. Raw offsets; the step's range tiles with its neighbours'. */
export function refinedCommitEvent(id: BookId, books: Books, at: string): CommitEvent {
  return {
    layer: 'refined',
    stream: id.stream,
    version: id.version,
    lane: MAIN_LANE,
    topicId: id.rawTopicId,
    partition: id.partition,
    ...books.step,
    nextOffset: books.sourceNext,
    counts: { ...books.counts },
    objects: [],
    hash: formatHash(books.hash),
    codeHash: books.codeHash,
    contractHash: books.contractHash,
    at,
  }
}
