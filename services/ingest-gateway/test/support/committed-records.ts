import type { KafkaRecord } from '@mesh/shared/core/record'
import type { KafkaPort } from '@mesh/shared/kafka/port'

/** What a read_committed reader finds on a topic now, per partition in order. */
export async function committedRecords(kafka: KafkaPort, topic: string): Promise<KafkaRecord[]> {
  const offsets = await kafka.admin.offsets(topic)
  const ranges = offsets.map((p) => ({ partition: p.partition, from: p.logStartOffset, to: p.lastStableOffset }))
  const records: KafkaRecord[] = []
  await kafka.readRanges(topic, ranges, (batch) => void records.push(...batch.records))
  return records
}
