import type { StreamVersions } from '@mesh/shared/core/versions'
import type { VersionsStore } from '../core/ports.ts'
import { createSequencer } from '../core/sequencer.ts'
import type { StateTopic } from './state-topic.ts'

/** The one writer of `mesh.versions`: changes queue behind one another, each sees the result of the one before. */
export function createVersionsWriter(topic: StateTopic<StreamVersions>): VersionsStore {
  const inSequence = createSequencer()
  return {
    all: () => [...topic.entries().values()].sort((a, b) => (a.stream < b.stream ? -1 : 1)),
    get: (stream) => topic.entries().get(stream) ?? null,
    update: (stream, change) =>
      inSequence(async () => {
        await topic.refresh()
        const current = topic.entries().get(stream) ?? null
        const next = change(current)
        if (next !== current) await topic.put(stream, next)
        return next
      }),
  }
}
