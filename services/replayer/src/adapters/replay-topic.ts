import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { headerText } from '@mesh/shared/core/record'
import { HEADER } from '@mesh/shared/core/topics'
import type { KafkaPort, PartitionOffsets, Producer } from '@mesh/shared/kafka/port'
import type { ReplayTopic } from '../core/ports.ts'

/** Records looked at from the end of a partition before all of it is read. */
const TAIL = 8

/** The topic of one replay job: written in source order, and read at its ends to continue after a restart. */
export function createReplayTopic(
  kafka: Pick<KafkaPort, 'readRanges' | 'admin'>,
  producer: () => Producer,
): ReplayTopic {
  /** Mesh-src offset of the last record in each range; ranges without a record are absent. */
  async function lastIn(topic: string, of: readonly PartitionOffsets[], tail: number): Promise<Map<number, number>> {
    const ranges = of
      .map(({ partition, logStartOffset, highWatermark }) => ({
        partition,
        from: Math.max(logStartOffset, highWatermark - tail),
        to: highWatermark,
      }))
      .filter((range) => range.from < range.to)
    const last = new Map<number, number>()
    if (ranges.length === 0) return last
    await kafka.readRanges(topic, ranges, ({ partition, records }) => {
      const record = records.at(-1)
      const src = record && headerText(record.headers, HEADER.src)
      if (src) last.set(partition, parseMeshSrc(src).offset)
    })
    return last
  }

  return {
    async lastSources(topic) {
      const offsets = (await kafka.admin.offsets(topic)).toSorted((a, b) => a.partition - b.partition)
      const near = await lastIn(topic, offsets, TAIL)
      // Offsets without a record (control records) may fill the tail; then the whole partition is read.
      const rest = offsets.filter((of) => !near.has(of.partition))
      const far = await lastIn(topic, rest, Number.MAX_SAFE_INTEGER)
      return offsets.map(({ partition }) => near.get(partition) ?? far.get(partition) ?? null)
    },
    async send(topic, records) {
      await producer().send(topic, records)
    },
  }
}
