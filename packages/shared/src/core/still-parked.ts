/** Records of a raw partition that wait in the enricher's lane `parked`. */
export type StillParked = {
  readonly records: number
  /** No parked record has a lower raw offset; null = nothing is parked. */
  readonly from: number | null
}

export const NONE_PARKED: StillParked = { records: 0, from: null }

/**
 * What the enricher's books, the metadata of its raw group offset, say. Metadata that is no books has nothing parked; books of before
 * they named the lowest offset count as parked from the start.
 */
export function stillParkedIn(metadata: string): StillParked {
  const { counts, parked } = booksIn(metadata)
  if (parked === undefined) return NONE_PARKED
  const records = (counts?.parked ?? 0) - parked.ok - parked.drop - parked.deadLetter
  return records > 0 ? { records, from: parked.rawFrom ?? 0 } : NONE_PARKED
}

export function addParked(one: StillParked, other: StillParked): StillParked {
  const from = one.from === null || other.from === null ? (one.from ?? other.from) : Math.min(one.from, other.from)
  return { records: one.records + other.records, from }
}

type BooksText = {
  readonly counts?: { readonly parked?: number }
  readonly parked?: {
    readonly ok: number
    readonly drop: number
    readonly deadLetter: number
    readonly rawFrom?: number | null
  }
}

function booksIn(metadata: string): BooksText {
  try {
    return JSON.parse(metadata) as BooksText
  } catch {
    return {}
  }
}
