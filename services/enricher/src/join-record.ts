import type { JoinRule, LookupRule } from '@mesh/shared/core/contract'
import { readArrival, type Source } from './core/arrival.ts'
import type { Decidable, RefineCode } from './core/decide.ts'
import { type Joined, type JoinedRow, joinKey, joinRows, joinRulesOf, NO_JOINS } from './core/joins.ts'
import { type Answer, lookupUrl, withLookups } from './core/lookups.ts'

/** The row that a rule joins to an event: its key, its time, and the raw partition that it is in. */
export type FindRow = (
  rule: JoinRule,
  key: string,
  event: { readonly timeMs: number; readonly partition: number },
) => JoinedRow | null
export type Look = (rule: LookupRule, url: string) => Answer | Promise<Answer>

/** What a record's declared joins and lookups give at this moment: at once where no answer has to be waited for. */
export function joinRecord(input: Decidable, findRow: FindRow, look: Look): Joined | Promise<Joined> {
  const { source, arrival, code } = input
  const lookups = code.contract.refine.lookups ?? []
  const bytes = source.record.value
  const joined = joinTables(input, findRow)
  if (lookups.length === 0 || (arrival.kind !== 'event' && arrival.kind !== 'change') || bytes === null) return joined
  // What is settled or waits already asks nobody.
  if (joined.problem !== null || joined.transient !== null) return joined
  const answers = lookups.map((rule) => {
    const url = lookupUrl(rule, arrival.event, bytes)
    return url === null ? null : look(rule, url)
  })
  const merge = (all: readonly (Answer | null)[]): Joined => withLookups(joined, lookups, all)
  return answers.some((answer) => answer instanceof Promise)
    ? Promise.all(answers.map((answer) => Promise.resolve(answer))).then(merge)
    : merge(answers as (Answer | null)[])
}

function joinTables({ source, arrival, code }: Decidable, findRow: FindRow): Joined {
  const bytes = source.record.value
  if (bytes === null || (arrival.kind !== 'event' && arrival.kind !== 'change')) return NO_JOINS
  const rules = joinRulesOf(arrival, code.contract.refine.joins)
  if (rules.length === 0) return NO_JOINS
  const from = arrival.kind === 'event' ? arrival.text : bytes
  const at = { timeMs: arrival.eventTimeMs, partition: source.at.partition }
  const keys: (string | null)[] = []
  const found: (JoinedRow | null)[] = []
  for (const rule of rules) {
    const key = joinKey(rule, arrival.event, from)
    keys.push(key)
    found.push(key === null ? null : findRow(rule, key, at))
  }
  return joinRows(rules, found, keys)
}

/**
 * Asks at once for all that a batch will ask for, each address one time and as many as its rule allows at a time; records are then
 * decided one after another with the answers at hand.
 */
export async function prefetch(
  sources: Iterable<Source>,
  codeAt: (partition: number, offset: number) => RefineCode,
  look: Look,
): Promise<void> {
  const asked: Promise<Answer>[] = []
  for (const source of sources) {
    const { contract } = codeAt(source.at.partition, source.at.offset)
    const lookups = contract.refine.lookups ?? []
    if (lookups.length === 0 || source.record.value === null) continue
    const arrival = readArrival(source, contract)
    if (arrival.kind !== 'event') continue
    for (const rule of lookups) {
      const url = lookupUrl(rule, arrival.event, source.record.value)
      const answer = url === null ? null : look(rule, url)
      if (answer instanceof Promise) asked.push(answer)
    }
  }
  await Promise.all(asked)
}
