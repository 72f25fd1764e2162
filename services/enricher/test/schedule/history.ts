import { header, type RecordToSend } from '@mesh/shared/core/record'
import { rawTopic, replayTopic } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import type { seeded } from '../seeded.ts'
import { PARTITIONS, STREAM } from './stream.ts'

const JOB = 'job-1'
const HISTORY_PER_PARTITION = 7
const HISTORY: number = HISTORY_PER_PARTITION * PARTITIONS

export type Event = { readonly at: number; readonly record: RecordToSend }

/**
 * Makes the first events a history: they lie in raw when the version begins, and on the replay topic, as a replayer leaves it that died
 * and began a little earlier again. The version reads that topic to its end, and then raw.
 */
export async function replayFirst(
  { kafka, state }: { readonly kafka: MemoryKafka; readonly state: StreamVersions },
  events: readonly Event[],
  random: ReturnType<typeof seeded>,
): Promise<{ readonly state: StreamVersions; readonly flowing: readonly Event[] }> {
  const topic = replayTopic(STREAM, JOB)
  await kafka.admin.ensureTopics([{ name: topic, partitions: PARTITIONS, config: {} }])
  const producer = await kafka.producer()
  await producer.send(
    rawTopic(STREAM),
    events.slice(0, HISTORY).map(({ record }) => record),
  )
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const log = kafka.log(rawTopic(STREAM), partition)
    const died = 1 + random.below(log.length)
    const again = log.slice(random.below(died), died)
    const emitted = [...log.slice(0, died), ...again, ...log.slice(died)].map((record) => ({
      ...record,
      partition,
      headers: [...record.headers, header('mesh-src', `main;${state.rawTopicId};${partition};${record.offset};0`)],
    }))
    await producer.send(topic, emitted)
  }
  const topicId = (await kafka.admin.topicIds([topic])).get(topic)!
  const ends = (await kafka.admin.offsets(topic)).map(({ highWatermark }) => highWatermark)
  const changeover = (await kafka.admin.offsets(rawTopic(STREAM))).map(({ highWatermark }) => highWatermark)
  const versions = state.versions.map((version) => ({
    ...version,
    replay: { job: JOB, topic, topicId, ends, changeover },
  }))
  return { state: { ...state, versions }, flowing: events.slice(HISTORY) }
}
