import type * as KafkaJs from 'kafkajs'
import { coPartition } from './co-partition.ts'
import { kafkajs } from './kafkajs-client.ts'

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
