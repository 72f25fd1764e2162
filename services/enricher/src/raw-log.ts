import { MeshError } from '@mesh/shared/core/errors'
import { rawTopic } from '@mesh/shared/core/topics'
import type { ReplayedHistory, StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort } from '@mesh/shared/kafka/port'

/** What a runner has to know of its source topics before it reads them. */
export type RawLog = {
  /** A topic that was made anew reuses offsets: the version's coordinates would mean other records. */
  checkIdentity(): Promise<void>
  /** The history, while its topic exists or is still needed. @throws MeshError MESH_REPLAY_GAP */
  existing(history: ReplayedHistory | null): Promise<ReplayedHistory | null>
  /** An offset committed on raw is the durable sign that a partition's replay is behind it. */
  allOnRaw(): Promise<boolean>
}

export function createRawLog(
  admin: Pick<KafkaPort['admin'], 'topicIds' | 'committed'>,
  { stream, rawTopicId, partitions }: Pick<StreamVersions, 'stream' | 'rawTopicId' | 'partitions'>,
  group: string,
): RawLog {
  const topic = rawTopic(stream)

  async function allOnRaw(): Promise<boolean> {
    return (await admin.committed(group, topic)).size >= partitions
  }

  return {
    async checkIdentity() {
      if ((await admin.topicIds([topic])).get(topic) === rawTopicId) return
      throw new MeshError('MESH_KAFKA_TOPIC_RECREATED', 'the raw topic is not the one that was applied', {
        place: topic,
      })
    },
    async existing(history) {
      if (history === null) return null
      const id = (await admin.topicIds([history.topic])).get(history.topic)
      if (id === history.topicId) return history
      if (await allOnRaw()) return null
      throw new MeshError('MESH_REPLAY_GAP', 'the replay topic is gone before its history was read', {
        place: history.topic,
      })
    },
    allOnRaw,
  }
}
