import type { StreamVersions } from '@mesh/shared/core/versions'
import type { ObjectStore } from '@mesh/shared/lake/object-store'
import type { LakeSinkTelemetry } from '../telemetry.ts'

/** One object per epoch: the one with the highest epoch says which version's silver is live. */
export function pointerKey(stream: string, epoch: number): string {
  return `pointers/${stream}/${String(epoch).padStart(20, '0')}.json`
}

/** Projects `mesh.versions` into the lake, for readers that see nothing but the lake. Idempotent: an epoch never changes. */
export function createLivePointer(
  store: ObjectStore,
  telemetry: LakeSinkTelemetry,
): (all: ReadonlyMap<string, StreamVersions>) => Promise<void> {
  const shown = new Map<string, number>()
  return async function project(all) {
    for (const { stream, epoch, live, at } of all.values()) {
      if (shown.get(stream) === epoch) continue
      await store.create(pointerKey(stream, epoch), Buffer.from(JSON.stringify({ stream, epoch, live, at })))
      shown.set(stream, epoch)
      telemetry.projected(stream, epoch)
    }
  }
}
