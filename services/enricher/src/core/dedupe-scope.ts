import { createHash } from 'node:crypto'
import type { Contract } from '@mesh/shared/core/contract'
import type { BundleBinding, StreamVersion } from '@mesh/shared/core/versions'
import type { BookId } from './books.ts'
import { dedupeWindowOf } from './read-change.ts'

/** What the ids of a dedupe store are noted under. */
export type DedupeScope = {
  readonly id: BookId
  /** The longest window of the version's bundles, in ms. */
  readonly retainMs: number
  /** A store with another identity would hold other ids. */
  readonly identity: string
}

/** Raised when the same record would be noted under another id or time. */
const FORMAT = 1

/** A window that changed, a topic made anew and a bundle that finds the event id elsewhere are other scopes; new code is not. */
export function dedupeScope(
  id: BookId,
  version: StreamVersion,
  contractOf: (binding: BundleBinding) => Contract,
): DedupeScope {
  const contracts = version.bundles.map((binding) => ({ binding, contract: contractOf(binding) }))
  const retainMs = Math.max(0, ...contracts.map(({ contract }) => dedupeWindowOf(contract)))
  const rules: { from: number; eventId: string | null }[] = []
  for (const { binding, contract } of contracts) {
    const { eventId } = contract
    if (rules.length > 0 && rules.at(-1)!.eventId === eventId) continue
    rules.push({ from: binding.from[id.partition] ?? 0, eventId })
  }
  const start = version.start[id.partition] ?? 0
  const text = JSON.stringify([FORMAT, id.stream, id.version, id.rawTopicId, id.partition, retainMs, start, rules])
  return { id, retainMs, identity: createHash('sha256').update(text).digest('hex') }
}
