import type { KafkaPort, PartitionFollower } from '@mesh/shared/kafka/port'

export type PartitionFollowers = {
  /** The follower of a topic, shared by all who follow partitions of it. `onFatal` is told when it has ended by an error. */
  acquire(topic: string, onFatal: (error: unknown) => void): Promise<PartitionFollower>
  /** Once per `acquire`; the last one stops it. */
  release(topic: string, onFatal: (error: unknown) => void): Promise<void>
}

type Shared = { readonly users: Set<(error: unknown) => void>; readonly opening: Promise<PartitionFollower> }

export function createPartitionFollowers(kafka: Pick<KafkaPort, 'followPartitions'>): PartitionFollowers {
  const shared = new Map<string, Shared>()

  function open(topic: string): Shared {
    const users = new Set<(error: unknown) => void>()
    const ended = (error: unknown): void => {
      // Whoever asks from now on gets a new one.
      if (shared.get(topic)?.users === users) shared.delete(topic)
      for (const tell of users) tell(error)
    }
    const opening = kafka.followPartitions(topic, ended)
    opening.catch(ended)
    const entry = { users, opening }
    shared.set(topic, entry)
    return entry
  }

  return {
    async acquire(topic, onFatal) {
      const entry = shared.get(topic) ?? open(topic)
      entry.users.add(onFatal)
      return entry.opening
    },
    async release(topic, onFatal) {
      const entry = shared.get(topic)
      // One that has ended is no longer here.
      if (!entry?.users.delete(onFatal) || entry.users.size > 0) return
      shared.delete(topic)
      await (await entry.opening).stop()
    },
  }
}
