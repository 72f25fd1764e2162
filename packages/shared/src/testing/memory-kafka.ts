import { MeshError } from '../core/errors.ts'
import type { KafkaRecord } from '../core/record.ts'
import { follow, readRanges } from '../kafka/bounded-reads.ts'
import type { ConnectedKafka } from '../kafka/connect-kafka.ts'
import { createLagMeter } from '../kafka/consumer-lag.ts'
import { followPartitions } from '../kafka/partition-follower.ts'
import type { GroupConsumerOptions } from '../kafka/port.ts'
import { realScheduler, type Scheduler } from '../kafka/scheduler.ts'
import { createTransactionalProducer } from '../kafka/transactional-producer.ts'
import { createBroker } from './memory-broker/broker.ts'
import { type BrokerRequest, createEndpoint, type Endpoint, type FaultHook } from './memory-broker/endpoint.ts'
import { createMemoryAdmin } from './memory-broker/memory-admin.ts'
import { createMemoryConsumer, type MemoryConsumer } from './memory-broker/memory-consumer.ts'
import { createMemoryProducer, type SendFailure } from './memory-broker/memory-producer.ts'
import { createMemoryTransactionClient } from './memory-broker/memory-transactions.ts'
import type { LogEntry } from './memory-broker/partition-log.ts'

/** One process that uses the broker. Everything it has under way depends on its state. */
export type MemoryClient = ConnectedKafka & {
  /** SIGKILL: connections and memberships vanish without a close, and nothing it waits for ever settles. */
  kill(): void
  /** SIGSTOP: a zombie after the length of a session. */
  pause(): void
  /** SIGCONT: what was under way goes on; expelled members join again. */
  resume(): void
  state(): 'running' | 'paused' | 'killed'
}

/** The port over arrays by Kafka's rules, with what a test wants to see and break. The port itself is one client. */
export type MemoryKafka = MemoryClient & {
  /** Another process; its name stands in the requests that `fault` sees. */
  client(name: string): MemoryClient
  /** What a read_committed reader gets of a partition. */
  log(topic: string, partition: number): readonly KafkaRecord[]
  /** All that lies in a partition: records of open and aborted transactions and markers too. */
  entries(topic: string, partition: number): readonly LogEntry[]
  /** Retention: records below `before` are gone. */
  trim(topic: string, partition: number, before: number): void
  /** Deletes and creates a topic: same name, new id, offsets from 0. */
  recreate(topic: string): void
  /** The next sends of the port itself fail with this error until it is null: before writing, or after (outcome unknown). */
  failSends(error: Error | null, when?: 'before' | 'after'): void
  /** Decides of every request of every client what happens to it. */
  fault(hook: FaultHook | null): void
  /** Ms each way that a request takes; seeded, it makes every interleaving. */
  latency(hook: ((request: BrokerRequest) => number) | null): void
  /** Ms after it goes on that a process that was paused learns by a heartbeat whether it was expelled. Default 0. */
  heartbeats(ms: () => number): void
  /** Ms after its end is decided that a transaction's markers are written. */
  markerDelay(ms: () => number): void
  /** A new generation of the group, members as they are. */
  rebalance(group: string): void
  /** The broker takes no request until it is opened. */
  pauseBroker(): void
  openBroker(): void
}

export type MemoryKafkaOptions = {
  /** Default the real one. */
  readonly scheduler?: Scheduler
  /** Epoch ms; default the scheduler's. */
  readonly now?: () => number
}

/** A member that is silent for so long is expelled. */
const SESSION_TIMEOUT_MS = 6000
const EVERYTHING = Number.MAX_SAFE_INTEGER

export function createMemoryKafka({ scheduler = realScheduler, now }: MemoryKafkaOptions = {}): MemoryKafka {
  const broker = createBroker(now ? { ...scheduler, now } : scheduler)
  let sendFailure: SendFailure | null = null
  let heartbeatMs = (): number => 0

  function client(name: string, failure: () => SendFailure | null): MemoryClient {
    const endpoint = createEndpoint(name, scheduler, broker.network)
    const admin = createMemoryAdmin(broker, endpoint)
    const consumers = new Set<MemoryConsumer>()
    const consumer = (options: GroupConsumerOptions): MemoryConsumer => {
      const own = createMemoryConsumer(broker, endpoint, options)
      consumers.add(own)
      return own
    }
    const silent = (): void => {
      scheduler.after(SESSION_TIMEOUT_MS, () => {
        if (endpoint.state() !== 'running') for (const own of consumers) own.expel()
      })
    }
    const lag = createLagMeter(admin, () => endpoint.scheduler.now())
    return {
      admin,
      lag: () => lag.measure(),
      consumer(options) {
        const own = consumer(options)
        lag.track(options.groupId, () => own.progress())
        return own
      },
      producer: () => Promise.resolve(createMemoryProducer(broker, endpoint, failure)),
      transactional(options) {
        return createTransactionalProducer(createMemoryTransactionClient(broker, endpoint, options), options)
      },
      readRanges: (topic, ranges, onBatch) =>
        readRanges(consumer, admin, topic, { ranges, onBatch, scheduler: endpoint.scheduler }),
      follow: (topic, options) => follow(consumer, admin, topic, options),
      followPartitions: (topic, onFatal) => followPartitions(consumer, admin, { topic, onFatal }),
      async close() {
        await Promise.all([...consumers].map((open) => open.stop()))
      },
      ...processOf(endpoint, consumers, { silent, heartbeatMs: () => heartbeatMs() }),
    }
  }

  return {
    ...client('port', () => sendFailure),
    client: (name) => client(name, () => null),
    log: (topic, partition) => broker.log(topic, partition).read(0, EVERYTHING).records,
    entries: (topic, partition) => broker.log(topic, partition).entries(),
    trim: (topic, partition, before) => broker.log(topic, partition).trim(before),
    recreate(topic) {
      const { partitions, config } = broker.topic(topic)
      broker.create({ name: topic, partitions: partitions.length, config: Object.fromEntries(config) })
    },
    failSends(error, when = 'before') {
      sendFailure = error === null ? null : { error, when }
    },
    fault: (hook) => broker.network.setFault(hook ?? (() => null)),
    latency: (hook) => broker.network.setLatency(hook ?? (() => 0)),
    heartbeats(ms) {
      heartbeatMs = ms
    },
    markerDelay: (ms) => broker.setMarkerDelay(ms),
    rebalance: (group) => broker.groups.rebalance(group),
    pauseBroker: () => broker.pause(),
    openBroker: () => broker.open(),
  }
}

function processOf(
  endpoint: Endpoint,
  consumers: ReadonlySet<MemoryConsumer>,
  { silent, heartbeatMs }: { readonly silent: () => void; readonly heartbeatMs: () => number },
): Pick<MemoryClient, 'kill' | 'pause' | 'resume' | 'state'> {
  return {
    state: endpoint.state,
    kill() {
      endpoint.kill()
      silent()
    },
    pause() {
      if (endpoint.state() !== 'running')
        throw new MeshError('MESH_INTERNAL', 'the process does not run', { place: endpoint.client })
      endpoint.pause()
      silent()
    },
    resume() {
      endpoint.resume()
      // What was under way is first: the process learns of its expulsion by a later heartbeat.
      endpoint.scheduler.after(heartbeatMs(), () => {
        for (const own of consumers) own.rejoin()
      })
    },
  }
}
