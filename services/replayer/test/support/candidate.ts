import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { headerText, type KafkaRecord } from '@mesh/shared/core/record'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { enricherGroup, HEADER, landingGroup, rawTopic, silverGroup } from '@mesh/shared/core/topics'
import { findVersion } from '@mesh/shared/core/versions'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'
import type { Replayer } from '../../src/service.ts'

/** Commits offsets of a group, as a service does that has reached them. */
export async function commit(
  kafka: KafkaPort,
  group: string,
  topic: string,
  offsets: readonly number[],
  metadata = '',
): Promise<void> {
  const assigned = Promise.withResolvers<void>()
  let left = offsets.length
  const consumer = kafka.consumer({
    groupId: group,
    topics: [topic],
    onFatal: assigned.reject,
    async assign({ partition }) {
      if (--left === 0) assigned.resolve()
      const progress = { nextOffset: offsets[partition]!, metadata }
      const handler = { process: async () => null, close: async () => progress }
      return { position: offsets[partition]!, handler, paused: true }
    },
  })
  await consumer.start()
  await assigned.promise
  await consumer.stop()
}

/** What the candidate's enricher and sinks do: read the replay topic to its ends, change over, write refined, catch up. */
export async function runCandidate(
  kafka: KafkaPort,
  producer: Producer,
  replayer: Replayer,
  job: ReplayJob,
): Promise<void> {
  const { stream, version } = job
  const ends = findVersion(replayer.versions.get(stream)!, version)!.replay!.ends!
  await commit(kafka, enricherGroup(stream, version), job.replayTopic, ends)
  const raw = (await kafka.admin.offsets(rawTopic(stream))).map((partition) => partition.highWatermark)
  await commit(kafka, enricherGroup(stream, version), rawTopic(stream), raw)
  await producer.send(
    job.refinedTopic,
    ends.map((_, partition) => ({ partition, key: null, value: new Uint8Array(1), headers: [] })),
  )
  await catchUpSinks(kafka, job)
}

export async function catchUpSinks(kafka: KafkaPort, job: ReplayJob): Promise<void> {
  const ends = (await kafka.admin.offsets(job.refinedTopic)).map((partition) => partition.highWatermark)
  await commit(kafka, silverGroup(job.stream, job.version), job.refinedTopic, ends)
  await commit(kafka, landingGroup(job.stream, job.version), job.refinedTopic, ends)
}

export async function runLive(kafka: KafkaPort, stream: string, version = 1): Promise<void> {
  const raw = (await kafka.admin.offsets(rawTopic(stream))).map((partition) => partition.highWatermark)
  await commit(kafka, enricherGroup(stream, version), rawTopic(stream), raw)
}

/** Source offsets in a replay partition in order, each once: what an exact reader takes. Throws where order is broken. */
export function exactSources(records: readonly KafkaRecord[], topicId: string, partition: number): number[] {
  const taken: number[] = []
  for (const record of records) {
    const src = parseMeshSrc(headerText(record.headers, HEADER.src) ?? '')
    if (src.topicId !== topicId || src.partition !== partition) throw new Error('a record of another partition')
    const highest = taken.at(-1) ?? -1
    if (src.offset > highest) taken.push(src.offset)
  }
  return taken
}
