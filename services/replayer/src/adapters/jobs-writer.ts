import { MeshError } from '@mesh/shared/core/errors'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { JobsStore } from '../core/ports.ts'
import { createSequencer } from '../core/sequencer.ts'
import type { StateTopic } from './state-topic.ts'

/** The one writer of `mesh.replays`. */
export function createJobsWriter(topic: StateTopic<ReplayJob>): JobsStore {
  const inSequence = createSequencer()
  return {
    all: () => [...topic.entries().values()].sort((a, b) => (a.createdAt < b.createdAt ? -1 : 1)),
    get: (id) => topic.entries().get(id) ?? null,
    add: (job) =>
      inSequence(async () => {
        await topic.refresh()
        await topic.put(job.id, job)
      }),
    update: (id, change) =>
      inSequence(async () => {
        await topic.refresh()
        const current = topic.entries().get(id)
        if (!current) throw new MeshError('MESH_REPLAY_UNKNOWN', `there is no replay ${id}`)
        const next = change(current)
        if (next !== current) await topic.put(id, next)
        return next
      }),
  }
}
