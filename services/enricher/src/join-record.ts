import type { Decidable } from './core/decide.ts'
import { type Joined, type JoinedRow, joinKey, joinRows, NO_JOINS } from './core/joins.ts'

/** The row of a joined stream's table. */
export type FindRow = (stream: string, key: string) => JoinedRow | null

/** What a record's declared joins give at this moment. */
export function joinRecord({ source, arrival, code }: Decidable, findRow: FindRow): Joined {
  const rules = code.contract.refine.joins
  const bytes = source.record.value
  if (rules.length === 0 || arrival.kind !== 'event' || bytes === null) return NO_JOINS
  const { event } = arrival
  const keys = rules.map((rule) => joinKey(rule, event, bytes))
  const found = rules.map((rule, i) => (keys[i] == null ? null : findRow(rule.stream, keys[i])))
  return joinRows(rules, found, keys)
}
