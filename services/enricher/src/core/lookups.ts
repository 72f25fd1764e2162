import type { LookupRule } from '@mesh/shared/core/contract'
import { textAt } from '@mesh/shared/core/event-identity'
import type { Joined, Transient } from './joins.ts'
import { type Problem, problem } from './problem.ts'

/** What a lookup gave. `version` says which state of the other side it was: `mesh-joins` keeps it. */
export type Answer =
  | { readonly kind: 'found'; readonly value: Readonly<Record<string, unknown>>; readonly version: string }
  | { readonly kind: 'missing'; readonly version: string }
  /** It may pass: 5xx, 429, no answer in time. */
  | { readonly kind: 'transient'; readonly code: string; readonly message: string }
  /** It stays so for this address. */
  | { readonly kind: 'refused'; readonly code: string; readonly message: string }

/**
 * The address that an event asks for: `{/pointer}` in the template stands for the text at that pointer, percent-encoded. Null when
 * the event has no text there, or one that would be a step in a path (`.`, `..`): there is nothing to look up.
 */
export function lookupUrl({ url }: LookupRule, event: unknown, source: Uint8Array): string | null {
  let known = true
  const filled = url.replace(/\{(\/[^{}]*)\}/g, (_, pointer: string) => {
    const text = textAt(event, pointer, source) ?? ''
    if (text === '' || text === '.' || text === '..') known = false
    return encodeURIComponent(text.toWellFormed())
  })
  return known ? filled : null
}

/** The joined rows with what the lookups gave, which join under their `as` names. A null answer: there was nothing to ask for. */
export function withLookups(joined: Joined, rules: readonly LookupRule[], answers: readonly (Answer | null)[]): Joined {
  const rows: Record<string, Record<string, unknown> | null> = { ...joined.rows }
  const used = joined.header === null ? [] : [joined.header]
  let found: Problem | null = joined.problem
  let waiting: Transient | null = joined.transient
  for (const [i, rule] of rules.entries()) {
    const answer = answers[i] ?? null
    rows[rule.as] = answer?.kind === 'found' ? answer.value : null
    used.push(`${rule.as}=${answer !== null && 'version' in answer ? answer.version : ''}`)
    if (answer === null || answer.kind === 'missing') {
      if (rule.onMissing === 'dead-letter') found ??= missing(rule)
    } else if (answer.kind === 'refused') {
      found ??= problem('join', answer.code, `${rule.as}: ${answer.message}`)
    } else if (answer.kind === 'transient') {
      waiting = sooner(waiting, transientOf(rule, answer.code, answer.message))
    }
  }
  return { rows, header: used.join(','), problem: found, transient: waiting }
}

function missing({ as }: LookupRule): Problem {
  return problem('join', 'MESH_JOIN_MISSING', `the lookup ${as} found nothing`)
}

function transientOf(rule: LookupRule, code: string, message: string): Transient {
  return { code, message: `${rule.as}: ${message}`, deadlineMs: rule.retryMs, giveUp: 'dead-letter', awaits: [] }
}

/** One wait for all: the first that ends ends it. A lookup is tried again with every try, so it needs nothing awaited. */
function sooner(one: Transient | null, other: Transient): Transient {
  if (one === null) return other
  const [a, b] = [one.deadlineMs ?? Number.POSITIVE_INFINITY, other.deadlineMs ?? Number.POSITIVE_INFINITY]
  return { ...(a <= b && one.giveUp === 'dead-letter' ? one : other), awaits: [...one.awaits, ...other.awaits] }
}
