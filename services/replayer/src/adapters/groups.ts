import { stillParkedIn } from '@mesh/shared/core/still-parked'
import type { KafkaAdmin } from '@mesh/shared/kafka/port'
import type { GroupPositions, Removal } from '../core/ports.ts'

export function createGroupPositions(admin: KafkaAdmin): GroupPositions {
  return {
    async positions(group, topic, partitions) {
      const committed = await admin.committed(group, topic)
      return Array.from({ length: partitions }, (_, partition) => committed.get(partition)?.offset ?? null)
    },
    async enricherPositions(group, topic, partitions) {
      const committed = await admin.committed(group, topic)
      return Array.from({ length: partitions }, (_, partition) => {
        const found = committed.get(partition)
        return found === undefined ? null : { offset: found.offset, parked: stillParkedIn(found.metadata) }
      })
    },
  }
}

/** Deletes only what is there, so that it may be called again. */
export function createRemoval(admin: KafkaAdmin): Removal {
  return {
    async deleteTopics(topics) {
      const existing = await admin.topicIds(topics)
      if (existing.size > 0) await admin.deleteTopics([...existing.keys()])
    },
    deleteGroups: (groups) => admin.deleteGroups(groups),
  }
}
