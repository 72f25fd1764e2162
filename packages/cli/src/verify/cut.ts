import { addHash, type Counts, formatHash, parseHash } from '@mesh/shared/core/books'
import { MAIN_LANE, PARKED_LANE } from '@mesh/shared/core/coordinate'
import type { Committed } from '@mesh/shared/kafka/port'
import type { LayerBooks } from './books.ts'

/** The enricher's books as its group commits them: the cut every other layer is compared at. */
export type Cut = {
  readonly partition: number
  /** X: raw offsets below it are decided. */
  readonly position: number
  /** Sequence numbers of lane `parked` below it are released. */
  readonly parkedNext: number
  /** Fates of lane main. */
  readonly counts: Counts
  /** Over all lanes. */
  readonly outputs: LayerBooks
  readonly waiting: number
}

type StoredBooks = {
  readonly counts: Counts
  readonly hash: string
  readonly parked?: {
    readonly next: number
    readonly ok: number
    readonly outputs: number
    readonly drop: number
    readonly deadLetter: number
    readonly hash: string
  }
}

const NOTHING = { next: 0, ok: 0, outputs: 0, drop: 0, deadLetter: 0, hash: '' }

/** Null where the offset carries no books. */
export function parseCut(partition: number, commit: Committed): Cut | null {
  if (commit.metadata === '') return null
  const { counts, hash, parked = NOTHING } = JSON.parse(commit.metadata) as StoredBooks
  return {
    partition,
    position: commit.offset,
    parkedNext: parked.next,
    counts,
    outputs: {
      records: counts.outputs + parked.outputs,
      hash: formatHash(addHash(parseHash(hash), parseHash(parked.hash))),
    },
    waiting: counts.parked - parked.ok - parked.drop - parked.deadLetter,
  }
}

/** Whether the books of the cut count an output. A lane that they do not know of lies outside. */
export function isWithin(cut: Pick<Cut, 'position' | 'parkedNext'>, lane: string, offset: number): boolean {
  if (lane === MAIN_LANE) return offset < cut.position
  return lane === PARKED_LANE && offset < cut.parkedNext
}
