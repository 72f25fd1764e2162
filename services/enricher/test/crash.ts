import type {
  Assignment,
  Follower,
  GroupConsumer,
  GroupConsumerOptions,
  KafkaAdmin,
  KafkaPort,
  PartitionHandler,
  Producer,
} from '@mesh/shared/kafka/port'

/** One process's way to the broker, which dies at a given point: before or after any call that crosses it. */
export type Mortal = {
  readonly kafka: KafkaPort
  /** Points passed so far. */
  points(): number
  readonly dead: () => boolean
  /** Where it died. */
  readonly place: () => string | null
  /** Takes the dead process's members out of their groups; nothing more is committed. */
  bury(): Promise<void>
}

export class Crash extends Error {}

/** @param at number of the point to die at, from 1; Infinity never dies. */
export function mortalKafka(kafka: KafkaPort, at: number): Mortal {
  let points = 0
  let place: string | null = null
  const members: GroupConsumer[] = []
  const followers: Pick<Follower, 'stop'>[] = []

  function point(name: string): void {
    if (place === null && ++points === at) place = name
    if (place !== null) throw new Crash(`died at ${place}`)
  }
  async function crossing<T>(name: string, call: () => Promise<T>): Promise<T> {
    point(`before ${name}`)
    const result = await call()
    point(`after ${name}`)
    return result
  }

  function mortalHandler(handler: PartitionHandler, topic: string): PartitionHandler {
    return {
      process: (batch) => crossing(`process ${topic}`, () => handler.process(batch)),
      async tick() {
        if (place !== null) throw new Crash('dead')
        const progress = (await handler.tick?.()) ?? null
        // Ticks that do nothing come by the clock; only those that commit are points.
        if (progress !== null) point(`before committing a tick of ${topic}`)
        return progress
      },
      committed: (progress) => crossing(`committed ${topic}`, async () => handler.committed?.(progress)),
      async close(reason) {
        if (place !== null) return null
        return (await handler.close?.(reason)) ?? null
      },
    }
  }

  function mortalProducer(producer: Producer): Producer {
    return {
      send: (topic, records) => crossing(`send ${topic}`, () => producer.send(topic, records)),
      close: () => producer.close(),
    }
  }

  const admin = new Proxy(kafka.admin, {
    get(target, name: keyof KafkaAdmin) {
      const call = target[name] as (...args: unknown[]) => Promise<unknown>
      return (...args: unknown[]) => crossing(`admin ${name}`, () => call.apply(target, args))
    },
  })

  return {
    kafka: {
      producer: async (options) => mortalProducer(await kafka.producer(options)),
      async transactional(options) {
        const producer = await crossing('transactional', () => kafka.transactional(options))
        return {
          committed: (topic, partition) => crossing('committed', () => producer.committed(topic, partition)),
          transact: (step) => crossing('transact', () => producer.transact(step)),
          close: () => producer.close(),
        }
      },
      consumer(options: GroupConsumerOptions) {
        const member = kafka.consumer({
          ...options,
          async assign(assigned): Promise<Assignment> {
            const assignment = await crossing(`assign ${assigned.topic}`, () => options.assign(assigned))
            return { ...assignment, handler: mortalHandler(assignment.handler, assigned.topic) }
          },
        })
        members.push(member)
        return member
      },
      readRanges: (topic, ranges, onBatch) =>
        crossing(`readRanges ${topic}`, () => kafka.readRanges(topic, ranges, onBatch)),
      async follow(topic, options) {
        const follower = await crossing(`follow ${topic}`, () => kafka.follow(topic, options))
        followers.push(follower)
        return follower
      },
      async followPartitions(topic, onFatal) {
        const follower = await crossing(`follow ${topic}`, () => kafka.followPartitions(topic, onFatal))
        followers.push(follower)
        return follower
      },
      admin,
      close: async () => {},
    },
    points: () => points,
    dead: () => place !== null,
    place: () => place,
    async bury() {
      for (const member of members) await member.stop().catch(() => {})
      for (const follower of followers) await follower.stop()
    },
  }
}
