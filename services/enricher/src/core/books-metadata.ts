import { type CommitEvent, formatHash, parseHash, ZERO_COUNTS } from '@mesh/shared/core/books'
import { MAIN_LANE, PARKED_LANE } from '@mesh/shared/core/coordinate'
import { describeError, MeshError } from '@mesh/shared/core/errors'
import { type BookId, type Books, NO_PARKED, openBooks, type ParkedBooks } from './books.ts'

/** The metadata of a group offset: about 700 bytes, with `MAX_SETTLED` offsets at most 2,600 of the 4,096 that the broker takes. */
export function booksMetadata(books: Books): string {
  const { hash, parked, ...rest } = books
  const { settled, ...lane } = parked
  return JSON.stringify({
    v: 1,
    ...rest,
    hash: formatHash(hash),
    parked: { ...lane, hash: formatHash(parked.hash), settled: encodeOffsets(settled) },
  })
}

type StoredBooks = Omit<Books, 'hash' | 'parked'> & {
  readonly v: number
  readonly hash: string
  readonly parked?: Omit<ParkedBooks, 'hash' | 'settled'> & { readonly hash: string; readonly settled: string }
}

/** @throws MeshError MESH_REFINE_BOOKS_LOST when the metadata is not the enricher's: without it the books cannot go on. */
export function readBooks(metadata: string, place: string): Books {
  try {
    const { v, parked, ...stored } = JSON.parse(metadata) as StoredBooks
    if (v !== 1 || !Number.isSafeInteger(stored.refinedNext) || !Number.isSafeInteger(stored.sourceNext)) {
      throw new Error('no refinedNext or sourceNext')
    }
    return {
      ...openBooks(stored.sourceNext, stored.refinedNext),
      ...stored,
      counts: { ...ZERO_COUNTS, ...stored.counts },
      hash: parseHash(stored.hash),
      parked:
        parked === undefined
          ? { ...NO_PARKED, settled: [] }
          : { ...NO_PARKED, ...parked, hash: parseHash(parked.hash), settled: decodeOffsets(parked.settled) },
    }
  } catch (error) {
    throw new MeshError('MESH_REFINE_BOOKS_LOST', `the committed offset carries no books: ${describeError(error)}`, {
      place,
    })
  }
}

/** Whether committed books were written in a transaction. False for anything that is no books: reading them tells. */
export function isTransactional(metadata: string): boolean {
  return /"transactional":true[,}]/.test(metadata)
}

/** Ascending, each as its distance from the one before in base 36: a few bytes where they lie close together. */
function encodeOffsets(offsets: readonly number[]): string {
  let before = 0
  const parts: string[] = []
  for (const offset of [...offsets].sort((a, b) => a - b)) {
    parts.push((offset - before).toString(36))
    before = offset
  }
  return parts.join('.')
}

function decodeOffsets(text: string): number[] {
  let offset = 0
  return text === '' ? [] : text.split('.').map((part) => (offset += Number.parseInt(part, 36)))
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

/** What a commit announces: lane main, and lane `parked` once something was released. */
export function commitEvents(id: BookId, books: Books, parkedFrom: number): readonly CommitEvent[] {
  const main = refinedCommitEvent(id, books, '')
  const { ok, drop, deadLetter } = books.parked
  return ok + drop + deadLetter === 0 ? [main] : [main, parkedCommitEvent(id, books, { from: parkedFrom, at: '' })]
}

/** The commit event of lane `parked`. Offsets are its sequence. */
function parkedCommitEvent(id: BookId, books: Books, { from, at }: { from: number; at: string }): CommitEvent {
  const { next, ok, outputs, drop, deadLetter, hash } = books.parked
  return {
    layer: 'refined',
    stream: id.stream,
    version: id.version,
    lane: PARKED_LANE,
    topicId: id.rawTopicId,
    partition: id.partition,
    firstOffset: from,
    nextOffset: next,
    counts: { ...ZERO_COUNTS, ok, outputs, drop, deadLetter },
    bytes: 0,
    objects: [],
    minEventTime: null,
    maxEventTime: null,
    hash: formatHash(hash),
    codeHash: books.codeHash,
    contractHash: books.contractHash,
    at,
  }
}
