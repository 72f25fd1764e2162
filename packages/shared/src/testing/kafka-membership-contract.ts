import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { textBytes } from '../core/record.ts'
import type { GroupConsumer, PartitionHandler } from '../kafka/port.ts'
import type { KafkaUnderTest } from './kafka-contract.ts'
import { until } from './until.ts'

/** What a member of a group is told of its partitions long after their assignment, in memory and on a real broker. */
export function describeKafkaMembership(name: string, open: () => Promise<KafkaUnderTest>): void {
  describe(`membership of a group: ${name}`, () => {
    it('describes a partition as it is by then, and none that the group has given to another member', async () => {
      const under = await open()
      const { kafka } = under
      const topic = `membership-${randomUUID()}`
      const groupId = randomUUID()
      await kafka.admin.ensureTopics([{ name: topic, partitions: 2, config: {} }])
      const handler: PartitionHandler = {
        process: ({ nextOffset }) => Promise.resolve({ nextOffset, metadata: `up to ${nextOffset}` }),
      }
      const consumer = (): GroupConsumer =>
        kafka.consumer({
          groupId,
          topics: [topic],
          tickMs: 10,
          onFatal: () => {},
          assign: ({ committed }) => Promise.resolve({ position: committed?.offset ?? 0, handler }),
        })
      const first = consumer()
      await first.start()
      await until(() => first.positions().size === 2, 'both partitions')
      expect(await first.describe(topic, 0)).toMatchObject({ topic, partition: 0, committed: null, highWatermark: 0 })
      const producer = await kafka.producer()
      const record = { key: null, value: textBytes('x'), headers: [] }
      await producer.send(topic, [
        { ...record, partition: 0 },
        { ...record, partition: 0 },
      ])
      const committed = { offset: 2, metadata: 'up to 2' }
      await until(async () => (await kafka.admin.committed(groupId, topic)).get(0)?.offset === 2, 'the commit')
      expect(await first.describe(topic, 0)).toMatchObject({ committed, logStartOffset: 0, highWatermark: 2 })
      expect(await first.describe(topic, 2)).toBeNull()

      const second = consumer()
      await second.start()
      await until(() => first.positions().size === 1 && second.positions().size === 1, 'one partition each')
      const described = await Promise.all(
        [first, second].flatMap((one) =>
          [0, 1].map(async (partition) => (await one.describe(topic, partition)) !== null),
        ),
      )
      expect([described[0], described[1]].sort()).toEqual([false, true])
      expect([described[2], described[3]]).toEqual([described[1], described[0]])
      await first.stop()
      expect(await first.describe(topic, described[0] ? 0 : 1)).toBeNull()
      await second.stop()
      await under.close()
    })
  })
}
