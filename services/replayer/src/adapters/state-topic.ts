import { bytesText, textBytes } from '@mesh/shared/core/record'
import type { KafkaPort, Producer } from '@mesh/shared/kafka/port'

/** A compacted one-partition topic of JSON values, as its only writer sees it. */
export type StateTopic<T> = {
  /** Reads the topic to its end. Called once before anything else. */
  load(): Promise<void>
  entries(): ReadonlyMap<string, T>
  /** Durable on return. After a failure the outcome is unknown, and `refresh` reads the topic again. */
  put(key: string, value: T): Promise<void>
  refresh(): Promise<void>
}

export function createStateTopic<T>(kafka: KafkaPort, topic: string, producer: () => Producer): StateTopic<T> {
  let entries = new Map<string, T>()
  let stale = true

  async function load(): Promise<void> {
    const read = new Map<string, T>()
    const [partition] = await kafka.admin.offsets(topic)
    if (!partition) throw new Error(`topic ${topic} has no partition`)
    const range = { partition: 0, from: partition.logStartOffset, to: partition.highWatermark }
    if (range.from < range.to) {
      await kafka.readRanges(topic, [range], (batch) => {
        for (const { key, value } of batch.records) {
          if (key === null) continue
          if (value === null) read.delete(bytesText(key))
          else read.set(bytesText(key), JSON.parse(bytesText(value)) as T)
        }
      })
    }
    entries = read
    stale = false
  }

  return {
    load,
    entries: () => entries,
    async put(key, value) {
      stale = true
      const record = { partition: 0, key: textBytes(key), value: textBytes(JSON.stringify(value)), headers: [] }
      try {
        await producer().send(topic, [record])
      } catch (error) {
        // It may have been written all the same, and what is shown must be what is there.
        await load().catch(() => {})
        throw error
      }
      entries.set(key, value)
      stale = false
    },
    refresh: () => (stale ? load() : Promise.resolve()),
  }
}
