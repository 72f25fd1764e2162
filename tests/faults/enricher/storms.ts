import { setTimeout as delay } from 'node:timers/promises'
import { enricherGroup, rawTopic } from '@mesh/shared/core/topics'
import { connectKafka } from '@mesh/shared/kafka/connect-kafka'
import type { GroupConsumer } from '@mesh/shared/kafka/port'
import { STREAMS } from './streams.ts'
import type { FaultWorld } from './world.ts'

const STAYS_MS = 2000

/**
 * Members that join the enrichers' groups, take partitions, do nothing with them and leave, every two seconds and as often as
 * told. Returns how many partitions they were given over all.
 */
export async function stormOfMembers(world: FaultWorld, times: number): Promise<number> {
  let assigned = 0
  for (let n = 0; n < times; n++) {
    const kafka = connectKafka({ brokers: world.mesh.stack.addresses.kafkaBrokers.split(','), clientId: 'storm' })
    const failures: unknown[] = []
    const members: GroupConsumer[] = STREAMS.map((stream) =>
      kafka.consumer({
        groupId: enricherGroup(stream, 1),
        topics: [rawTopic(stream)],
        async assign({ committed }) {
          assigned++
          return { position: committed?.offset ?? 0, paused: true, handler: { process: async () => null } }
        },
        onFatal: (error) => failures.push(error),
      }),
    )
    // The fault itself lasts so long; nothing is waited for.
    const staying = delay(STAYS_MS)
    await Promise.all(members.map((member) => member.start()))
    await staying
    await Promise.all(members.map((member) => member.stop()))
    await kafka.close()
    if (failures.length > 0) throw failures[0]
  }
  return assigned
}
