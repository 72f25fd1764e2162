import type { DedupeStore } from '../src/core/dedupe.ts'
import { seeded } from './seeded.ts'

/** A raw record as the dedupe sees it; without an id it is poison. */
export type Entry = { readonly id: string | null; readonly timestamp: number }

/**
 * The definition, word for word: the raw time of a record is the highest timestamp up to it. The age of the latest earlier record
 * with the id, or null.
 */
export function byDefinition(log: readonly Entry[], windowMs: number): (number | null)[] {
  const rawTime = log.map((_, i) => Math.max(...log.slice(0, i + 1).map((entry) => entry.timestamp)))
  return log.map(({ id }, i) => {
    const earlier = id === null ? -1 : log.findLastIndex((entry, j) => j < i && entry.id === id)
    const age = rawTime[i]! - (rawTime[earlier] ?? Number.NEGATIVE_INFINITY)
    return age < windowMs ? age : null
  })
}

export function decide(store: DedupeStore, { id, timestamp }: Entry, windowMs: number): number | null {
  store.advance(timestamp)
  return id === null ? null : store.note(id, windowMs)
}

/** Few ids, equal timestamps, some that jump ahead and some that fall back. */
export function randomLog(seed: number, length = 60): Entry[] {
  const random = seeded(seed)
  let clock = 100
  return Array.from({ length }, () => {
    clock += random.below(12)
    const timestamp = random.chance(0.1) ? clock + random.below(120) : random.chance(0.3) ? random.below(clock) : clock
    return { id: random.chance(0.1) ? null : `id-${random.below(8)}`, timestamp }
  })
}
