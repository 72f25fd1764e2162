import { addHash, type Counts, type HashSum, ZERO_COUNTS } from '@mesh/shared/core/books'
import type { Fate } from './decide.ts'

/** Which sequence the books are about: one raw partition under one version. */
export type BookId = {
  readonly stream: string
  readonly version: number
  readonly rawTopicId: string
  readonly partition: number
}

/** Books of lane `parked` and what is known of the state topic. Cumulative like main's, in the order of releases. */
export type ParkedBooks = {
  /** Next sequence number of the lane: a multiple of `SEQUENCE_BLOCK`. */
  next: number
  ok: number
  outputs: number
  drop: number
  deadLetter: number
  hash: HashSum
  /** Next offset of the state partition: what lies there from here on is not covered by these books. */
  stateNext: number
  /** Nothing below it on the state partition is still parked. */
  stateFrom: number
  /** Lowest raw offset that still waits, for whoever asks what is parked below a position; null = nothing is. */
  rawFrom: number | null
  /** Raw offsets that are released and whose state record may still lie there. Bounded: `MAX_SETTLED`. */
  settled: number[]
}

/**
 * The outputs of one release step take the last numbers of a block, so every block ends at the same number: of two writers that
 * took the same block, readers take the first one whole and nothing of the other.
 */
export const SEQUENCE_BLOCK = 1_000_000
/** Releases per commit: their offsets must fit the metadata beside the books. */
export const MAX_SETTLED = 150

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
  parked: ParkedBooks
  codeHash: string
  contractHash: string
  /** Number of the commit: no two are alike. */
  commits: number
  /** True when the last commit lay in a transaction: nothing beyond it is visible, so nothing is to be read back. */
  transactional: boolean
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
    parked: { ...NO_PARKED, settled: [] },
    codeHash: '',
    contractHash: '',
    commits: 0,
    transactional: false,
    step,
  }
}

export const NO_PARKED: ParkedBooks = {
  next: 0,
  ok: 0,
  outputs: 0,
  drop: 0,
  deadLetter: 0,
  hash: 0n,
  stateNext: 0,
  stateFrom: 0,
  rawFrom: null,
  settled: [],
}

/** Records that are parked and not released. */
export function stillParked({ counts, parked }: Books): number {
  return counts.parked - parked.ok - parked.drop - parked.deadLetter
}

/** Books what became of a parked record. */
export function bookRelease({ parked }: Books, offset: number, fate: Release): void {
  parked.settled.push(offset)
  switch (fate.kind) {
    case 'ok':
      parked.ok++
      parked.outputs += fate.outputs
      parked.hash = addHash(parked.hash, fate.hash)
      return
    case 'drop':
      parked.drop++
      return
    case 'deadLetter':
      parked.deadLetter++
      return
  }
}

export type Release =
  | { readonly kind: 'ok'; readonly outputs: number; readonly hash: HashSum }
  | { readonly kind: 'drop' }
  | { readonly kind: 'deadLetter' }

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
    case 'parked':
      counts.parked++
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
