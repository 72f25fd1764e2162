import type { JoinRule } from '@mesh/shared/core/contract'
import { textAt } from '@mesh/shared/core/event-identity'
import type { Arrival } from './arrival.ts'
import { type Problem, problem } from './problem.ts'

/** A row of a joined table: the refined record of the joined stream, shared by all who read it and therefore frozen. */
export type JoinedRow = { readonly record: Readonly<Record<string, unknown>>; readonly src: string }

/** A cause that may pass: a row that is waited for, a lookup that did not answer. It parks the record's key. */
export type Transient = {
  readonly code: string
  readonly message: string
  /** How long after it was parked the record is given up, in ms; null = never. */
  readonly deadlineMs: number | null
  /** Given up as a dead letter, or decided with what is there (`rows` holds null for what is missing). */
  readonly giveUp: 'null' | 'dead-letter'
  /** What may end the wait before its time: `tableKey` of each awaited row. Empty: only another try. */
  readonly awaits: readonly string[]
}

/** Rows by their `as` name, for refine.ts; `header` names the rows used (`as=mesh-src`, comma separated, empty when missing). */
export type Joined = {
  readonly rows: Readonly<Record<string, Record<string, unknown> | null>>
  readonly header: string | null
  /** Settles the record whatever else is missing. */
  readonly problem: Problem | null
  readonly transient: Transient | null
}

export const NO_JOINS: Joined = { rows: Object.freeze({}), header: null, problem: null, transient: null }

/** Name of a table's row, as parked records wait for it. */
export const tableKey = (stream: string, key: string): string => `${stream}/${key}`

/** Key text that an event has for a join: a string as it is, a number by its source characters; null when there is none. */
export function joinKey(rule: JoinRule, event: unknown, source: string | Uint8Array): string | null {
  return textAt(event, rule.on, source) ?? null
}

/** A delete or a truncate has no new row to join: what it lacks is no problem. */
export function joinRulesOf(arrival: Arrival, rules: readonly JoinRule[]): readonly JoinRule[] {
  if (arrival.kind !== 'change' || arrival.event.after !== null) return rules
  return rules.map((rule) => ({ ...rule, onMissing: 'null' }))
}

/**
 * @param found the row of each rule, in the order of the rules; null where the table has none
 * @param keys the key that the event has for each rule. A row without a key cannot arrive: it is missing at once.
 */
export function joinRows(
  rules: readonly JoinRule[],
  found: readonly (JoinedRow | null)[],
  keys: readonly (string | null)[] = [],
): Joined {
  if (rules.length === 0) return NO_JOINS
  const rows: Record<string, Record<string, unknown> | null> = {}
  let missing: Problem | null = null
  let awaited: Awaited[] | null = null
  let header = ''
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!
    const row = found[i] ?? null
    rows[rule.as] = row?.record ?? null
    header += `${i === 0 ? '' : ','}${rule.as}=${row?.src ?? ''}`
    if (row !== null) continue
    const key = keys[i] ?? null
    const { onMissing } = rule
    if (typeof onMissing === 'object' && key !== null) (awaited ??= []).push({ rule, key, ...onMissing })
    else if ((typeof onMissing === 'object' ? onMissing.giveUp : onMissing) === 'dead-letter') {
      missing ??= problem('join', 'MESH_JOIN_MISSING', missingText(rule))
    }
  }
  return { rows, header, problem: missing, transient: awaited === null ? null : transientOf(awaited) }
}

type Awaited = { readonly rule: JoinRule; readonly key: string } & Exclude<JoinRule['onMissing'], string>

/**
 * Several awaited rows as one wait: the first that ends in a dead letter ends it for all; without one, what is missing is null only
 * after the last.
 */
function transientOf(awaited: readonly Awaited[]): Transient {
  const fatal = awaited.filter((wait) => wait.giveUp === 'dead-letter')
  const deciding = (fatal.length > 0 ? fatal : awaited).toSorted((a, b) => a.waitMs - b.waitMs)
  const wait = fatal.length > 0 ? deciding[0]! : deciding.at(-1)!
  return {
    code: 'MESH_JOIN_MISSING',
    message: missingText(wait.rule),
    deadlineMs: wait.waitMs,
    giveUp: wait.giveUp,
    awaits: awaited.map(({ rule, key }) => tableKey(rule.stream, key)),
  }
}

/** What is decided once the wait is over. */
export function giveUp(joined: Joined): Joined {
  const { transient } = joined
  if (transient === null) return joined
  if (transient.giveUp === 'null') return { ...joined, transient: null }
  return { ...joined, transient: null, problem: problem('join', transient.code, transient.message) }
}

function missingText({ stream, as, on }: JoinRule): string {
  return `the table of ${stream} has no row for ${as} (${on})`
}
