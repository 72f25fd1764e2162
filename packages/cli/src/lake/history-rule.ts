import { rawTopic } from '@mesh/shared/core/topics'
import { findVersion, liveVersion, newestBundle, type StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import type { ChainId } from '@mesh/shared/lake/chain-names'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import { getBundle } from '@mesh/shared/schema/bundle'
import type { HistoryRule } from './retain.ts'

export type HistoryFacts = {
  readonly state: StreamVersions
  /** Of the contract that runs, per layer of the chain's version; null: everything is kept. */
  readonly retentionMs: number | null
  /** Of the raw topic, per partition. */
  readonly logStart: ReadonlyMap<number, number>
}

/**
 * What of a chain may go. Of bronze only what the books and a replay can do without: what Kafka has let go of too, below the start of
 * every version, and nothing while a version is being built from it.
 * @param minAgeMs keeps more than the contract asks for
 */
export function historyRule(id: ChainId, facts: HistoryFacts, now: number, minAgeMs: number): HistoryRule {
  const { state, retentionMs, logStart } = facts
  if (retentionMs === null) return { keep: `the contract declares no lake.${id.layer}.retention` }
  const before = now - Math.max(retentionMs, minAgeMs)
  if (id.layer === 'silver') return { before, below: Number.MAX_SAFE_INTEGER }
  if (id.topicId !== state.rawTopicId) return { keep: 'the topic was created again, and its contract is not known' }
  const candidate = state.versions.find(({ status }) => status === 'candidate')
  if (candidate) return { keep: `version ${candidate.version} is a candidate, built from history` }
  const starts = state.versions
    .filter(({ status }) => status !== 'retired')
    .map(({ start }) => start[id.partition] ?? 0)
    .filter((start) => start > 0)
  return { before, below: Math.min(logStart.get(id.partition) ?? 0, ...starts) }
}

/** Reads what the rule of a chain needs. */
export async function readHistoryFacts(
  { kafka, store }: { readonly kafka: KafkaPort; readonly store: ObjectStore },
  state: StreamVersions,
  id: ChainId,
): Promise<HistoryFacts> {
  const version = id.layer === 'bronze' ? liveVersion(state) : findVersion(state, id.version)
  const bundle = version && (await getBundle(store, newestBundle(version).hash))
  const offsets = id.layer === 'bronze' ? await kafka.admin.offsets(rawTopic(state.stream)) : []
  return {
    state,
    retentionMs: bundle?.contract.lake[id.layer].retentionMs ?? null,
    logStart: new Map(offsets.map(({ partition, logStartOffset }) => [partition, logStartOffset])),
  }
}
