import { bytesText } from '../core/record.ts'
import { VERSIONS_TOPIC } from '../core/topics.ts'
import type { StreamVersions } from '../core/versions.ts'
import type { KafkaPort } from './port.ts'

/** What `mesh.versions` says at this moment. */
export type VersionsView = {
  current(): ReadonlyMap<string, StreamVersions>
  stop(): Promise<void>
}

/** Follows `mesh.versions`; resolves once caught up. `onChange` is called for every change after that. */
export async function followVersions(
  kafka: KafkaPort,
  onChange: () => void,
  onFatal: (error: unknown) => void,
): Promise<VersionsView> {
  const states = new Map<string, StreamVersions>()
  let live = false
  const follower = await kafka.follow(VERSIONS_TOPIC, {
    from: 'start',
    onFatal,
    onBatch(batch) {
      for (const { key, value } of batch.records) {
        if (key === null) continue
        if (value === null) states.delete(bytesText(key))
        else states.set(bytesText(key), JSON.parse(bytesText(value)) as StreamVersions)
      }
      if (live && batch.records.length > 0) onChange()
    },
  })
  await follower.caughtUp
  live = true
  return { current: () => new Map(states), stop: () => follower.stop() }
}
