import { enricherGroup, rawTopic } from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { KafkaPort, PartitionRange } from '@mesh/shared/kafka/port'

/** Ends of transactions own offsets and are never delivered: so many behind the position may be nothing but those. */
const FEW = 200

/** The first partition of the stream's raw topic that holds a record which the live enricher has not decided, in words; null = none. */
export async function firstUndecided(
  kafka: KafkaPort,
  { stream, live }: Pick<StreamVersions, 'stream' | 'live'>,
): Promise<string | null> {
  const topic = rawTopic(stream)
  const committed = await kafka.admin.committed(enricherGroup(stream, live), topic)
  const doubtful: PartitionRange[] = []
  for (const { partition, logStartOffset, highWatermark, lastStableOffset } of await kafka.admin.offsets(topic)) {
    const at = Math.max(committed.get(partition)?.offset ?? 0, logStartOffset)
    if (at >= highWatermark) continue
    if (lastStableOffset < highWatermark || highWatermark - at > FEW) {
      return `${stream}/${partition} is at ${at} of ${highWatermark}`
    }
    doubtful.push({ partition, from: at, to: lastStableOffset })
  }
  let found: string | null = null
  await kafka.readRanges(topic, doubtful, ({ partition, records }) => {
    if (records.length > 0) found ??= `${stream}/${partition} has not decided ${records[0]!.offset}`
  })
  return found
}
