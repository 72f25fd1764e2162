import type { JoinRule } from '@mesh/shared/core/contract'
import type { Decidable } from './core/decide.ts'
import { type Joined, type JoinedRow, joinKey, joinRows, NO_JOINS } from './core/joins.ts'

/** The row that a rule joins to an event of this time. */
export type FindRow = (rule: JoinRule, key: string, eventTimeMs: number) => JoinedRow | null

/** What a record's declared joins give at this moment. */
export function joinRecord({ source, arrival, code }: Decidable, findRow: FindRow): Joined {
  const rules = code.contract.refine.joins
  const bytes = source.record.value
  if (rules.length === 0 || arrival.kind !== 'event' || bytes === null) return NO_JOINS
  const { event, eventTimeMs } = arrival
  const keys = rules.map((rule) => joinKey(rule, event, bytes))
  const found = rules.map((rule, i) => (keys[i] == null ? null : findRow(rule, keys[i], eventTimeMs)))
  return joinRows(rules, found, keys)
}
