import type { KafkaRecord } from '@mesh/shared/core/record'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { until } from '@mesh/shared/testing/until'

/**
 * What a read_committed reader finds on a topic of all that is there now, per partition in order. An open transaction is waited for: on
 * `mesh.cursors` another test's would hide what lies behind it.
 */
export async function committedRecords(kafka: KafkaPort, topic: string): Promise<KafkaRecord[]> {
  const offsets = await kafka.admin.offsets(topic)
  const ranges = offsets.map((p) => ({ partition: p.partition, from: p.logStartOffset, to: p.highWatermark }))
  const decided = async (): Promise<boolean> =>
    (await kafka.admin.offsets(topic)).every((now, i) => now.lastStableOffset >= ranges[i]!.to)
  await until(decided, `transactions on ${topic} to end`, 90_000)
  const records: KafkaRecord[] = []
  await kafka.readRanges(topic, ranges, (batch) => void records.push(...batch.records))
  return records
}
