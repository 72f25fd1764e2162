import type * as KafkaJs from 'kafkajs'
import { expect, it } from 'vitest'
import { plainModule } from '../../support/plain-kafkajs.ts'

type Answer = Record<string, unknown>
type Broker = Record<'metadata' | 'listOffsets', (request: never) => Promise<Answer>> & Answer
type Pool = { brokers: Record<number, Broker>; seedBroker: Broker }

const quiet: Record<string, unknown> = { namespace: () => quiet }
for (const level of ['debug', 'info', 'warn', 'error']) quiet[level] = () => undefined

/** kafkajs's own admin and cluster as they are published, over a broker that says what it is told to say. */
function plainAdmin(listOffsets: (nth: number) => Promise<void>): KafkaJs.Admin {
  const connectionPool = { host: 'broker', port: 1 }
  let asked = 0
  const broker: Broker = {
    nodeId: 1,
    connectionPool,
    isConnected: () => true,
    metadata: async (topics: string[]) => ({
      brokers: [{ nodeId: 1, ...connectionPool }],
      topicMetadata: topics.map((topic) => ({ topic, partitionMetadata: [{ partitionId: 0, leader: 1 }] })),
    }),
    async listOffsets({ topics }: { topics: { topic: string }[] }) {
      await listOffsets(++asked)
      return { responses: topics.map(({ topic }) => ({ topic, partitions: [{ partition: 0, offset: '7' }] })) }
    },
  }
  const Cluster = plainModule<new (options: Answer) => { brokerPool: Pool }>('src/cluster/index.js')
  const createAdmin = plainModule<(options: Answer) => KafkaJs.Admin>('src/admin/index.js')
  const retry = { retries: 3, initialRetryTime: 1 }
  const cluster = new Cluster({ logger: quiet, brokers: ['broker:1'], clientId: 'test', retry, metadataMaxAge: 60_000 })
  cluster.brokerPool.brokers = { 1: broker }
  cluster.brokerPool.seedBroker = broker
  return createAdmin({ logger: quiet, retry, cluster })
}

it('B14: plain kafkajs answers a question for the offsets of a topic when it is asked nothing else', async () => {
  const admin = plainAdmin(async () => {})
  expect(await admin.fetchTopicOffsets('flights')).toEqual([{ partition: 0, offset: '7', high: '7', low: '7' }])
})

it('B14: plain kafkajs loses that answer when it is asked for the metadata of another topic meanwhile', async () => {
  const [under, answer] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const admin = plainAdmin(async (nth) => {
    if (nth > 1) return
    under.resolve()
    await answer.promise
  })
  const offsets = admin.fetchTopicOffsets('flights')
  await under.promise
  await admin.fetchTopicMetadata({ topics: ['airports'] })
  answer.resolve()
  // Its second question, for the log's start, finds no leader: the metadata is that of the other topic alone.
  await expect(offsets).rejects.toThrow(TypeError)
})
