/**
 * Event ids of one raw partition by the raw time they were last seen at. A record's raw time is the running maximum of Kafka
 * timestamps up to it. It is a duplicate iff an earlier decodable record with its event id has a raw time less than the window
 * before its own, whatever that record's fate: a pure function of the raw log. Every store of the port decides the same.
 */
export type DedupeStore = {
  /** Takes the next record's timestamp (of every record, decodable or not). */
  advance(timestampMs: number): void
  /** Notes the current record's event id. The age in ms of the record that it repeats, or null when it is no duplicate. */
  note(eventId: string, windowMs: number): number | null
  /** Highest timestamp so far; null before the first record. */
  rawTime(): number | null
  /** Ids held: at least those seen less than the longest window ago. */
  size(): number
  diskBytes(): number
  /** What was noted so far belongs to source offsets below `sourceNext`, which are about to be committed. */
  cut(sourceNext: number): void
  /** A cut is committed: nothing below it is decided again, so it may outlive the process. */
  committed(sourceNext: number): void
  /** Every record below it is noted in what outlived an earlier process; null = nothing did. */
  position(): number | null
  /** Forgets everything, also what would outlive the process. */
  clear(): void
  close(): void
}

/** The rule in memory; nothing outlives the process. @param retainMs the longest window that `note` will be asked with */
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
      if (retainMs === 0) return null
      const before = seen.get(eventId)
      if (before === rawTime) return windowMs > 0 ? 0 : null
      if (before !== undefined) seen.delete(eventId)
      seen.set(eventId, rawTime)
      return before !== undefined && before > rawTime - windowMs ? rawTime - before : null
    },
    rawTime: () => (rawTime === Number.NEGATIVE_INFINITY ? null : rawTime),
    size: () => seen.size,
    diskBytes: () => 0,
    cut: () => {},
    committed: () => {},
    position: () => null,
    clear() {
      seen.clear()
      order = seen.entries()
      oldest = null
      rawTime = Number.NEGATIVE_INFINITY
    },
    close: () => {},
  }
}
