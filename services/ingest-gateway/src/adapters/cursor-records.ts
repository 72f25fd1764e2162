import { bytesText } from '@mesh/shared/core/record'
import { CURSORS_TOPIC } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'

/** The last value of every key of `mesh.cursors` that is wanted, deleted ones left out; null while the topic is not there. */
export async function readCursorRecords(
  kafka: Pick<KafkaPort, 'admin' | 'readRanges'>,
  wanted: (key: string) => boolean,
): Promise<Map<string, Uint8Array> | null> {
  const [offsets] = await kafka.admin.offsets(CURSORS_TOPIC)
  if (offsets === undefined) return null
  const found = new Map<string, Uint8Array>()
  const range = { partition: 0, from: offsets.logStartOffset, to: offsets.lastStableOffset }
  await kafka.readRanges(CURSORS_TOPIC, [range], (batch) => {
    for (const { key, value } of batch.records) {
      const name = key === null ? '' : bytesText(key)
      if (!wanted(name)) continue
      if (value === null) found.delete(name)
      else found.set(name, value)
    }
  })
  return found
}
