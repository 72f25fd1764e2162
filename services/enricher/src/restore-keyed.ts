import type { RecordBatch } from '@mesh/shared/core/record'
import type { Source } from './core/arrival.ts'
import type { BookId } from './core/books.ts'
import type { KeyedState } from './core/keyed-state.ts'
import { isChangeStream, readChange } from './core/read-change.ts'
import { rawSources, replayedSources } from './core/replayed.ts'
import type { RestoreDeps, RestoreFrom } from './restore-context.ts'
import { partitionOffsets } from './restore-dedupe.ts'

/** Keys set between two writes of the store: what is read is committed already, so it may be written at any time. */
const KEEP_EVERY = 10_000

/**
 * Brings the histories of a change stream's keys to `to`, the position of the books: from where the durable part stands, or from the
 * beginning where it stands nowhere, beyond `to` (the offset was moved back), or below what the log still holds. In the last case a
 * row could have changed in the hole, so nothing of it is trusted.
 */
export async function restoreKeyed(
  deps: RestoreDeps & { readonly openKeyed: (id: BookId) => KeyedState },
  from: RestoreFrom,
  to: number,
): Promise<KeyedState> {
  const { id, start, replayedTo } = from
  const { partition } = id
  const { replay, topics } = deps
  const keyed = deps.openKeyed(id)
  const raw = await partitionOffsets(deps.kafka, topics.raw, partition)
  if (keyed.at() > to || (replay === null && keyed.at() < raw.logStartOffset)) keyed.clear()
  let next = keyed.at()
  let unkept = 0

  function note(sources: Iterable<Source>): void {
    for (const source of sources) {
      const { offset } = source.at
      if (offset < next || offset >= to) continue
      next = offset + 1
      const { contract } = deps.codeAt(partition, offset)
      if (isChangeStream(contract)) readChange(source, contract, keyed)
      if (++unkept >= KEEP_EVERY) keepTo(next)
    }
  }
  function keepTo(offset: number): void {
    keyed.seal(offset)
    keyed.keep()
    unkept = 0
  }
  async function read(
    topic: string,
    [begin, end]: readonly [number, number],
    sources: (b: RecordBatch) => Iterable<Source>,
  ) {
    const { logStartOffset } = await partitionOffsets(deps.kafka, topic, partition)
    const first = Math.max(begin, logStartOffset)
    if (first < end) await deps.kafka.readRanges(topic, [{ partition, from: first, to: end }], (b) => note(sources(b)))
  }

  if (replay === null) await read(topics.raw, [next, to], rawSources)
  else {
    if (next < start) await read(topics.raw, [next, Math.min(start, to)], rawSources)
    const end = replayedTo ?? (await partitionOffsets(deps.kafka, replay.topic, partition)).highWatermark
    const of = { topicId: id.rawTopicId, partition }
    await read(replay.topic, [0, end], (batch) => replayedSources(batch, end, of))
    const changeover = replay.changeover[partition] ?? 0
    if (replayedTo === null) await read(topics.raw, [Math.max(next, changeover), to], rawSources)
  }
  if (to > 0) keepTo(to)
  return keyed
}
