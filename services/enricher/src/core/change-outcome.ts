import { type Change, drop, type Outcome, ok, tombstone } from '@mesh/client/refine'
import { type Problem, problem } from './problem.ts'

/**
 * MongoDB looks the document of an update up later: one that is gone by then has its delete behind it in the log. A change that its reader
 * had to strip of its documents (`source.oversize`) says nothing of the kind.
 */
function isGone({ op, source }: Change): boolean {
  return op === 'u' && source['connector'] === 'mongodb' && (source['oversize'] ?? null) === null
}

/** What a change becomes without a refine.ts: its row, or a delete of the key. */
export function changeOutcome(change: Change): Outcome<Record<string, unknown>> | Problem {
  switch (change.op) {
    case 'c':
    case 'u':
    case 'r':
      if (change.after !== null) return ok(change.after)
      if (isGone(change)) return drop('the document was deleted before it was looked up; its delete follows')
      return problem('refine', 'MESH_CDC_ROW_MISSING', `the change (op ${change.op}) came without the row after it`)
    case 'd':
      return tombstone()
    case 't':
      return problem('refine', 'MESH_CDC_TRUNCATE', 'the table was truncated, which names no key to delete')
    case 'm':
      return drop('a logical message is no change of a row')
    default:
      return change.op satisfies never
  }
}
