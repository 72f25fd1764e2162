import { addCounts, addHash, type Counts, formatHash, type HashSum, ZERO_COUNTS } from '@mesh/shared/core/books'
import type { KafkaRecord } from '@mesh/shared/core/record'
import { readArrival } from '../src/core/arrival.ts'
import { type Fate, type RefineCode, refinedFate, settledFate } from '../src/core/decide.ts'
import { giveUp, type JoinedRow, joinKey, joinRows } from '../src/core/joins.ts'

export type Recomputed = { readonly counts: Counts; readonly hash: string; readonly fates: readonly Fate[] }

/**
 * The books of a raw partition by their definition: every record of the log decided once, from nothing, with the dedupe rule taken
 * word for word. Knows nothing of batches, commits or restarts.
 */
export function recompute(
  log: readonly { readonly offset: number; readonly record: KafkaRecord }[],
  at: { readonly topicId: string; readonly partition: number },
  { code, findRow }: { code: RefineCode; findRow?: (stream: string, key: string) => JoinedRow | null },
): Recomputed {
  const { contract } = code
  const { joins, dedupeWindowMs } = contract.refine
  const arrivals = log.map(({ offset, record }) => readArrival({ at: { ...at, offset }, record }, contract))
  let highest = Number.NEGATIVE_INFINITY
  const rawTimes = log.map(({ record }) => {
    highest = Math.max(highest, record.timestamp)
    return highest
  })
  let counts: Counts = ZERO_COUNTS
  let hash: HashSum = 0n
  const fates = log.map(({ offset, record }, i): Fate => {
    const arrival = arrivals[i]!
    const duplicate =
      arrival.kind !== 'poison' &&
      arrivals.some(
        (earlier, j) =>
          j < i &&
          earlier.kind !== 'poison' &&
          earlier.eventId === arrival.eventId &&
          rawTimes[i]! - rawTimes[j]! < dedupeWindowMs,
      )
    const input = {
      source: { at: { ...at, offset }, record },
      arrival,
      code,
      duplicate,
      published: null,
      passed: false,
      maxOutputBytes: 4_000_000,
    }
    const settled = settledFate(input)
    if (settled !== null) return settled
    const keys = joins.map((rule) => (arrival.kind === 'event' ? joinKey(rule, arrival.event, record.value!) : null))
    const rows = joins.map((rule, j) => (keys[j] == null ? null : (findRow?.(rule.stream, keys[j]) ?? null)))
    // A row that never comes ends every wait for it.
    return refinedFate(input, giveUp(joinRows(arrival.kind === 'event' ? joins : [], rows, keys)))
  })
  for (const fate of fates) {
    switch (fate.kind) {
      case 'ok':
        counts = addCounts(counts, { ok: 1, outputs: fate.records.length })
        hash = addHash(hash, fate.hash)
        break
      case 'duplicate':
      case 'drop':
      case 'deadLetter':
        counts = addCounts(counts, { [fate.kind]: 1 })
        break
      case 'parked':
      case 'published':
        throw new Error('a recomputation publishes and parks nothing')
    }
  }
  return { counts, hash: formatHash(hash), fates }
}
