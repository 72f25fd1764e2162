/**
 * Event ids of one raw partition by the raw time they were last seen at. A record's raw time is the running maximum of Kafka
 * timestamps up to it. It is a duplicate iff an earlier decodable record with its event id has a raw time less than the window
 * before its own, whatever that record's fate: a pure function of the raw log.
 */
export type DedupeStore = {
  /** Takes the next record's timestamp (of every record, decodable or not). */
  advance(timestampMs: number): void
  /** Notes the current record's event id. True when it is a duplicate. */
  note(eventId: string, windowMs: number): boolean
  /** Highest timestamp so far; null before the first record. */
  rawTime(): number | null
  /** Ids held: those seen less than the longest window ago. */
  size(): number
}

/** @param retainMs the longest window that `note` will be asked with; older ids are forgotten. */
export function createDedupeStore(retainMs: number): DedupeStore {
  // In order of raw time, because raw time never falls and a noted id moves to the end.
  const seen = new Map<string, number>()
  let rawTime = Number.NEGATIVE_INFINITY
  // One iterator for good: a new one would walk over all the entries deleted at the front.
  let order = seen.entries()
  let oldest: [string, number] | null = null

  function forgetOld(): void {
    const limit = rawTime - retainMs
    while (seen.size > 0) {
      if (oldest === null) {
        let next = order.next()
        if (next.done) {
          order = seen.entries()
          next = order.next()
        }
        oldest = next.value!
      }
      const [id, time] = oldest
      if (time > limit) return
      // An id noted again has moved to the end: the entry in hand is stale.
      if (seen.get(id) === time) seen.delete(id)
      oldest = null
    }
  }

  return {
    advance(timestampMs) {
      if (timestampMs <= rawTime) return
      rawTime = timestampMs
      forgetOld()
    },
    note(eventId, windowMs) {
      if (retainMs === 0) return false
      const before = seen.get(eventId)
      if (before === rawTime) return windowMs > 0
      if (before !== undefined) seen.delete(eventId)
      seen.set(eventId, rawTime)
      return before !== undefined && before > rawTime - windowMs
    },
    rawTime: () => (rawTime === Number.NEGATIVE_INFINITY ? null : rawTime),
    size: () => seen.size,
  }
}
