import type { IdWords } from './event-id-hash.ts'
import { createIdFilter, filterBytes, type IdFilter } from './id-filter.ts'
import { ENTRY_WORDS } from './id-table.ts'
import type { MemoryBudget } from './memory-budget.ts'

/** What a chain of segments is made of here: one segment's ids and how to ask it. */
export type ChainSegment = {
  readonly count: number
  readonly rawTime: number | null
  /** Time that the id was last noted at within the segment, or null. */
  find(id: IdWords): number | null
  close(): void
}

/** The segments of a window, oldest first. A new id asks one filter for each group of them, not one for each. */
export type SegmentGroups<S extends ChainSegment> = {
  all(): readonly S[]
  /** Takes the next segment; `entries` are its ids. */
  add(segment: S, entries: Uint32Array): void
  /** Takes out those whose ids are all of a raw time of at most `timeMs`. */
  removeUpTo(timeMs: number): S[]
  /** Time that the id was last noted at, asking only segments with ids younger than `limitMs`. */
  find(id: IdWords, limitMs: number): number | null
  close(): void
}

/** Segments of full size that one group's filter has room for. */
const GROUP_SEGMENTS = 16

type Group<S> = { readonly filter: IdFilter | null; readonly bytes: number; ids: number; segments: S[] }

/** @param segmentIds ids of a segment of full size */
export function createSegmentGroups<S extends ChainSegment>(
  segmentIds: number,
  budget: MemoryBudget,
): SegmentGroups<S> {
  const capacity = segmentIds * GROUP_SEGMENTS
  let groups: Group<S>[] = []

  function openGroup(): Group<S> {
    const bytes = filterBytes(capacity)
    // A segment without a filter of its own costs a read for every id; without this one, only time: it leaves the others half the room.
    const fits = budget.used() + bytes <= budget.limit / 2 && budget.tryTake(bytes)
    const group: Group<S> = {
      filter: fits ? createIdFilter(capacity) : null,
      bytes: fits ? bytes : 0,
      ids: 0,
      segments: [],
    }
    groups.push(group)
    return group
  }

  return {
    all: () => groups.flatMap(({ segments }) => segments),
    add(segment, entries) {
      const newest = groups.at(-1)
      const group = newest && newest.ids + segment.count <= capacity ? newest : openGroup()
      group.filter?.add(entries, ENTRY_WORDS)
      group.ids += segment.count
      group.segments.push(segment)
    },
    removeUpTo(timeMs) {
      const isOld = ({ rawTime }: S): boolean => (rawTime ?? Number.NEGATIVE_INFINITY) <= timeMs
      const old = groups.flatMap(({ segments }) => segments.filter(isOld))
      // A filter keeps the ids of what left: it says yes for them until its last segment leaves.
      for (const group of groups) group.segments = group.segments.filter((segment) => !isOld(segment))
      for (const { segments, bytes } of groups) if (segments.length === 0) budget.give(bytes)
      groups = groups.filter(({ segments }) => segments.length > 0)
      return old
    },
    find(id, limitMs) {
      for (let g = groups.length - 1; g >= 0; g--) {
        const { filter, segments } = groups[g]!
        const newest = segments.at(-1)!.rawTime
        if (newest === null || newest <= limitMs) return null
        if (filter !== null && !filter.mayHold(id)) continue
        for (let i = segments.length - 1; i >= 0; i--) {
          const segment = segments[i]!
          if (segment.rawTime === null || segment.rawTime <= limitMs) return null
          const time = segment.find(id)
          if (time !== null) return time
        }
      }
      return null
    },
    close() {
      for (const { segments, bytes } of groups) {
        for (const segment of segments) segment.close()
        budget.give(bytes)
      }
      groups = []
    },
  }
}
