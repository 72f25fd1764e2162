import { MeshError } from '../core/errors.ts'

/** A topic that was deleted and created again reuses offsets for other records: this finds it out. */
export type TopicIdentity = {
  /** Topics that are read from now on. @throws MeshError MESH_KAFKA_TOPIC_RECREATED when one was another before */
  begin(described: readonly { readonly topic: string; readonly topicId: string }[]): void
  /** Before each commit. @throws MeshError MESH_KAFKA_TOPIC_RECREATED */
  check(topic: string, topicId: string): Promise<void>
  /** A rejoin while a topic is gone leaves nothing that would commit: its return shows here. */
  watch(): Promise<MeshError | null>
}

export type IdentitySource = {
  /** Topic ids as they are at this moment; a topic that is gone is absent. */
  topicIds(): Promise<ReadonlyMap<string, string>>
  /** A topic id that was seen is taken for true for so long (ms). */
  readonly topicIdsHoldMs: number
}

export function createTopicIdentity(source: IdentitySource, now: () => number): TopicIdentity {
  /** The ids this consumer has begun to read under, for good. */
  const begun = new Map<string, string>()
  let seen: Promise<ReadonlyMap<string, string>> = Promise.resolve(begun)
  let seenAt = Number.NEGATIVE_INFINITY
  let watching = false

  function current(): Promise<ReadonlyMap<string, string>> {
    if (now() - seenAt >= source.topicIdsHoldMs) {
      seenAt = now()
      seen = source.topicIds()
      seen.catch(() => {
        seenAt = Number.NEGATIVE_INFINITY
      })
    }
    return seen
  }

  return {
    begin(described) {
      for (const { topic, topicId } of described) {
        if ((begun.get(topic) ?? topicId) !== topicId) throw recreated(topic)
        begun.set(topic, topicId)
      }
      seen = Promise.resolve(new Map(begun))
      seenAt = now()
    },
    async check(topic, topicId) {
      if ((await current()).get(topic) !== topicId) throw recreated(topic)
    },
    async watch() {
      if (watching || begun.size === 0) return null
      watching = true
      const ids = await current().catch(() => null)
      watching = false
      for (const [topic, id] of begun) if ((ids?.get(topic) ?? id) !== id) return recreated(topic)
      return null
    },
  }
}

function recreated(topic: string): MeshError {
  return new MeshError('MESH_KAFKA_TOPIC_RECREATED', 'the topic is another one than at assignment', { place: topic })
}
