import type { Counts } from '@mesh/shared/core/books'

/** A layer's cumulative books at one cut: records or rows, and the content sum as 32 hex digits. */
export type LayerBooks = { readonly records: number; readonly hash: string }

/** Everything known of one raw partition of one version, cut at the enricher's position X. Ranges are raw offsets. */
export type PartitionBooks = {
  readonly stream: string
  readonly version: number
  readonly partition: number
  readonly start: number
  /** X: the enricher's next raw offset; null while it still reads its replay topic or has not begun. */
  readonly position: number | null
  readonly fates: Counts | null
  /** Outputs and their content over all lanes. */
  readonly outputs: LayerBooks | null
  /** Parked records that have no fate yet. */
  readonly waiting: number
  /** Records of the raw log in [start, X), those that retention removed counted from bronze. */
  readonly raw: LayerBooks | null
  readonly bronze: (LayerBooks & { readonly holes: number; readonly reached: number }) | null
  readonly refined: (LayerBooks & { readonly redelivered: number; readonly compacted: boolean }) | null
  readonly silver: (LayerBooks & { readonly behind: boolean }) | null
  readonly landing: (LayerBooks & { readonly behind: boolean }) | null
}

export type Finding = { readonly check: string; readonly left: string; readonly right: string; readonly range: string }
export type Verdict = {
  readonly stream: string
  readonly version: number
  readonly partition: number
  /** closed: every equation holds. open: one does not. pending: a layer has not reached the cut yet. */
  readonly state: 'closed' | 'open' | 'pending'
  readonly pending: readonly string[]
  readonly findings: readonly Finding[]
}

/**
 * The equations of reconciliation for one partition:
 * records(raw) = records(bronze) + holes = ok + drop + duplicate + deadLetter + parked, and
 * outputs = records(refined) − redelivered = rows(silver) = rows(landing), each with equal content sums. Fates are those of lane
 * main, where `parked` is one for good; outputs are summed over all lanes.
 */
export function closeBooks(books: PartitionBooks): Verdict {
  const { stream, version, partition } = books
  const verdict = (state: Verdict['state'], pending: string[], findings: Finding[]): Verdict => ({
    stream,
    version,
    partition,
    state,
    pending,
    findings,
  })
  if (books.position === null || books.fates === null) {
    return books.position === null ? verdict('pending', ['enricher'], []) : verdict('closed', [], [])
  }
  const range = `[${books.start}, ${books.position})`
  const pending: string[] = []
  const findings: Finding[] = []
  const expect = (check: string, left: string | number, right: string | number): void => {
    if (String(left) !== String(right)) findings.push({ check, left: String(left), right: String(right), range })
  }

  const { fates } = books
  const outputs = books.outputs ?? { records: fates.outputs, hash: '' }
  const decided = fates.ok + fates.drop + fates.duplicate + fates.deadLetter + fates.parked
  if (books.raw) expect('records(raw) = ok + drop + duplicate + deadLetter + parked', books.raw.records, decided)
  if (books.bronze) {
    if (books.bronze.reached < books.position) pending.push(`bronze (at ${books.bronze.reached} of ${books.position})`)
    else if (books.raw) {
      expect('records(raw) = records(bronze)', books.raw.records, books.bronze.records)
      expect('content(raw) = content(bronze)', books.raw.hash, books.bronze.hash)
    }
  }
  if (books.refined && !books.refined.compacted) {
    expect('outputs = records(refined) − redelivered', outputs.records, books.refined.records)
    expect('content(enricher) = content(refined)', outputs.hash, books.refined.hash)
  }
  for (const layer of ['silver', 'landing'] as const) {
    const found = books[layer]
    if (!found) continue
    if (found.behind) pending.push(layer)
    else {
      expect(`outputs = rows(${layer})`, outputs.records, found.records)
      expect(`content(enricher) = content(${layer})`, outputs.hash, found.hash)
    }
  }
  return verdict(findings.length > 0 ? 'open' : pending.length > 0 ? 'pending' : 'closed', pending, findings)
}

export type StreamSummary = {
  readonly stream: string
  readonly version: number
  readonly live: boolean
  readonly state: Verdict['state']
  readonly records: number
  /** Fates of lane main; outputs of all lanes. */
  readonly counts: Counts
  /** Parked records that have no fate yet. */
  readonly waiting: number
  readonly verdicts: readonly Verdict[]
}

/** The worst state of any partition decides. */
export function worst(states: readonly Verdict['state'][]): Verdict['state'] {
  if (states.includes('open')) return 'open'
  return states.includes('pending') ? 'pending' : 'closed'
}
