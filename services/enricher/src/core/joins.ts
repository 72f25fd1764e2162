import type { JoinRule } from '@mesh/shared/core/contract'
import { textAt } from '@mesh/shared/core/event-identity'
import type { Arrival } from './arrival.ts'
import { type Problem, problem } from './problem.ts'

/** A row of a joined table: the refined record of the joined stream, shared by all who read it and therefore frozen. */
export type JoinedRow = { readonly record: Readonly<Record<string, unknown>>; readonly src: string }

/** Rows by their `as` name, for refine.ts; `header` names the rows used (`as=mesh-src`, comma separated, empty when missing). */
export type Joined = {
  readonly rows: Readonly<Record<string, Record<string, unknown> | null>>
  readonly header: string | null
  readonly problem: Problem | null
}

export const NO_JOINS: Joined = { rows: Object.freeze({}), header: null, problem: null }

/** Key text that an event has for a join: a string as it is, a number by its source characters; null when there is none. */
export function joinKey(rule: JoinRule, event: unknown, source: Uint8Array): string | null {
  return textAt(event, rule.on, source) ?? null
}

/** A delete or a truncate has no new row to join: what it lacks is no problem. */
export function joinRulesOf(arrival: Arrival, rules: readonly JoinRule[]): readonly JoinRule[] {
  if (arrival.kind !== 'change' || arrival.event.after !== null) return rules
  return rules.map((rule) => ({ ...rule, onMissing: 'null' }))
}

/** @param found the row of each rule, in the order of the rules; null where the table has none. */
export function joinRows(rules: readonly JoinRule[], found: readonly (JoinedRow | null)[]): Joined {
  if (rules.length === 0) return NO_JOINS
  const rows: Record<string, Record<string, unknown> | null> = {}
  let missing: Problem | null = null
  const used: string[] = []
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!
    const row = found[i] ?? null
    rows[rule.as] = row?.record ?? null
    used.push(`${rule.as}=${row?.src ?? ''}`)
    if (row === null && rule.onMissing === 'dead-letter' && missing === null) {
      missing = problem(
        'join',
        'MESH_JOIN_MISSING',
        `the table of ${rule.stream} has no row for ${rule.as} (${rule.on})`,
      )
    }
  }
  return { rows, header: used.join(','), problem: missing }
}
