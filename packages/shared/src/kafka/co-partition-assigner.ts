import type * as KafkaJs from 'kafkajs'
import { kafkajs } from './kafkajs-client.ts'

/** Per member, per topic the partitions: partition p of every topic goes to one member. Deterministic in the member ids. */
export function coPartition(
  members: readonly string[],
  partitionsOf: Readonly<Record<string, readonly number[]>>,
): Record<string, Record<string, number[]>> {
  const sorted = [...members].sort()
  const assignment: Record<string, Record<string, number[]>> = Object.fromEntries(sorted.map((member) => [member, {}]))
  for (const topic of Object.keys(partitionsOf).sort()) {
    for (const partition of partitionsOf[topic]!) {
      const own = assignment[sorted[partition % sorted.length]!]!
      own[topic] ??= []
      own[topic].push(partition)
    }
  }
  return assignment
}

const NAME = 'MeshCoPartition'
const VERSION = 1

/** The assigner as kafkajs wants it. */
export const coPartitionAssigner: KafkaJs.PartitionAssigner = ({ cluster }) => ({
  name: NAME,
  version: VERSION,
  assign({ members, topics }) {
    const partitionsOf = Object.fromEntries(
      topics.map((topic) => [topic, cluster.findTopicPartitionMetadata(topic).map((metadata) => metadata.partitionId)]),
    )
    const assignment = coPartition(
      members.map((member) => member.memberId),
      partitionsOf,
    )
    return Promise.resolve(
      Object.entries(assignment).map(([memberId, own]) => ({
        memberId,
        memberAssignment: kafkajs.AssignerProtocol.MemberAssignment.encode({
          version: VERSION,
          assignment: own,
          userData: Buffer.alloc(0),
        }),
      })),
    )
  },
  protocol({ topics }) {
    return {
      name: NAME,
      metadata: kafkajs.AssignerProtocol.MemberMetadata.encode({ version: VERSION, topics, userData: Buffer.alloc(0) }),
    }
  },
})
