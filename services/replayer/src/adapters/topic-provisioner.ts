import { MeshError } from '@mesh/shared/core/errors'
import type { KafkaAdmin } from '@mesh/shared/kafka/port'
import type { Clock, Topics } from '../core/ports.ts'

const SHOWN_WITHIN_MS = 15_000
const LOOK_AGAIN_MS = 100

/** A created topic is not shown by every broker at once; `ensure` returns when its id is. */
export function createTopicProvisioner(admin: KafkaAdmin, clock: Clock): Topics {
  async function ensure(...[specs]: Parameters<Topics['ensure']>): Promise<string[]> {
    const created = await admin.ensureTopics(specs)
    const names = specs.map((spec) => spec.name)
    const deadline = clock.now() + SHOWN_WITHIN_MS
    for (;;) {
      const shown = await admin.topicIds(names)
      const missing = names.filter((name) => !shown.has(name))
      if (missing.length === 0) return created
      if (clock.now() >= deadline) {
        throw new MeshError('MESH_KAFKA_UNAVAILABLE', `creating topics: ${missing.join(', ')} do not appear`)
      }
      await clock.wait(LOOK_AGAIN_MS)
    }
  }

  return {
    ensure,
    configure: ({ name, config }) => admin.alterTopicConfig(name, config),
    ids: (names) => admin.topicIds(names),
    partitionCount: (topic) => admin.partitionCount(topic),
    offsets: async (topic) => (await admin.offsets(topic)).toSorted((a, b) => a.partition - b.partition),
  }
}
