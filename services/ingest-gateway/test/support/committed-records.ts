import type { KafkaRecord } from '@mesh/shared/core/record'
import type { KafkaPort, PartitionOffsets } from '@mesh/shared/kafka/port'
import { until } from '@mesh/shared/testing/until'

/** What a read_committed reader finds on a topic now, per partition in order. */
export async function committedRecords(kafka: KafkaPort, topic: string): Promise<KafkaRecord[]> {
  return read(kafka, topic, ({ lastStableOffset }) => lastStableOffset)
}

/**
 * The same of all that is there now: whoever's transaction is open is waited for. On a topic that others write to, theirs would hide
 * what lies behind it.
 */
export async function decidedRecords(kafka: KafkaPort, topic: string): Promise<KafkaRecord[]> {
  const ends = (await kafka.admin.offsets(topic)).map(({ highWatermark }) => highWatermark)
  const decided = async (): Promise<boolean> =>
    (await kafka.admin.offsets(topic)).every(({ lastStableOffset }, i) => lastStableOffset >= ends[i]!)
  await until(decided, `transactions on ${topic} to end`, 90_000)
  return read(kafka, topic, ({ partition }) => ends[partition]!)
}

async function read(kafka: KafkaPort, topic: string, end: (of: PartitionOffsets) => number): Promise<KafkaRecord[]> {
  const offsets = await kafka.admin.offsets(topic)
  const ranges = offsets.map((p) => ({ partition: p.partition, from: p.logStartOffset, to: end(p) }))
  const records: KafkaRecord[] = []
  await kafka.readRanges(topic, ranges, (batch) => void records.push(...batch.records))
  return records
}
