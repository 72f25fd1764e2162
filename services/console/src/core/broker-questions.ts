import {
  bronzeGroup,
  deadLetterTopic,
  enricherGroup,
  landingGroup,
  rawTopic,
  refinedTopic,
  silverGroup,
} from '@mesh/shared/core/topics'
import type { StreamVersion, StreamVersions } from '@mesh/shared/core/versions'

export type GroupQuestion = { readonly group: string; readonly topic: string }
export type BrokerQuestions = { readonly topics: readonly string[]; readonly groups: readonly GroupQuestion[] }

/** Versions whose layers are still written. */
export const activeVersions = (state: StreamVersions): readonly StreamVersion[] =>
  state.versions.filter((version) => version.status !== 'retired')

/** Which end offsets and which groups' offsets a snapshot needs. */
export function brokerQuestions(streams: Iterable<StreamVersions>): BrokerQuestions {
  const topics = new Set<string>()
  const groups: GroupQuestion[] = []
  for (const state of streams) {
    const { stream } = state
    const raw = rawTopic(stream)
    topics.add(raw).add(deadLetterTopic(stream))
    groups.push({ group: bronzeGroup(stream), topic: raw })
    for (const { version, replay } of activeVersions(state)) {
      const refined = refinedTopic(stream, version)
      topics.add(refined)
      groups.push({ group: enricherGroup(stream, version), topic: raw })
      groups.push({ group: silverGroup(stream, version), topic: refined })
      groups.push({ group: landingGroup(stream, version), topic: refined })
      if (replay === null) continue
      topics.add(replay.topic)
      groups.push({ group: enricherGroup(stream, version), topic: replay.topic })
    }
  }
  return { topics: [...topics], groups }
}

/** The answers. A topic or group that is not there has no entry. */
export type BrokerState = {
  readonly offsets: ReadonlyMap<string, readonly TopicOffsets[]>
  /** By `groupKey`: committed offset per partition. */
  readonly committed: ReadonlyMap<string, ReadonlyMap<number, number>>
  readonly problems: readonly string[]
}
export type TopicOffsets = {
  readonly partition: number
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly lastStableOffset: number
}
export const groupKey = ({ group, topic }: GroupQuestion): string => `${group} ${topic}`
