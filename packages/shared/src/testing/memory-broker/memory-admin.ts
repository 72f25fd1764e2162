import type { Committed, KafkaAdmin } from '../../kafka/port.ts'
import type { Broker } from './broker.ts'
import type { Endpoint } from './endpoint.ts'

export function createMemoryAdmin(broker: Broker, endpoint: Endpoint): KafkaAdmin {
  const { topics, groups } = broker
  return {
    topicIds: (names) =>
      endpoint.call(
        'metadata',
        () => new Map(names.flatMap((name) => (topics.has(name) ? [[name, broker.topic(name).id] as const] : []))),
      ),
    listTopics: () => endpoint.call('metadata', () => [...topics.keys()]),
    partitionCount: (topic) => endpoint.call('metadata', () => topics.get(topic)?.partitions.length ?? 0),
    ensureTopics: (specs) =>
      endpoint.call('admin', () => {
        const missing = specs.filter((spec) => !topics.has(spec.name))
        for (const spec of missing) broker.create(spec)
        return missing.map((spec) => spec.name)
      }),
    deleteTopics: (names) =>
      endpoint.call('admin', () => {
        for (const name of names) broker.delete(name)
      }),
    offsets: (topic) =>
      endpoint.call('admin', () =>
        broker.topic(topic).partitions.map((log, partition) => ({
          partition,
          logStartOffset: log.logStart(),
          highWatermark: log.end(),
          lastStableOffset: log.lastStable(),
        })),
      ),
    offsetsAtTime: (topic, timestamp) =>
      endpoint.call('admin', () => {
        const found = broker.topic(topic).partitions.map((log, partition) => {
          const entry = log.entries().find(({ record }) => record !== null && record.timestamp >= timestamp)
          return [partition, entry?.offset ?? log.end()] as const
        })
        return new Map(found)
      }),
    committed: (group, topic) =>
      endpoint.call('offset-fetch', () => {
        const entries = [...groups.committed(group)].filter(([place]) => place.startsWith(`${topic}/`))
        return new Map<number, Committed>(
          entries.map(([place, committed]) => [Number(place.slice(topic.length + 1)), committed]),
        )
      }),
    deleteGroups: (ids) =>
      endpoint.call('admin', () => {
        for (const id of ids) groups.delete(id)
      }),
  }
}
