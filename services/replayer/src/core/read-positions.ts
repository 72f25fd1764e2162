import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { enricherGroup, landingGroup, rawTopic, silverGroup } from '@mesh/shared/core/topics'
import { findVersion, liveVersion } from '@mesh/shared/core/versions'
import type { GroupPositions, Topics, VersionsStore } from './ports.ts'
import type { CandidatePositions } from './readiness.ts'

/**
 * Reads how far everybody is, the live version first: what is read later can only be further on, so that a candidate found at
 * or beyond the live position had truly reached it.
 */
export async function readPositions(
  ports: { readonly versions: VersionsStore; readonly groups: GroupPositions; readonly topics: Topics },
  job: ReplayJob,
): Promise<CandidatePositions> {
  const { stream, version } = job
  const state = ports.versions.get(stream)!
  const live = liveVersion(state)
  const of = (group: string, topic: string) => ports.groups.positions(group, topic, state.partitions)
  const livePositions = await of(enricherGroup(stream, live.version), rawTopic(stream))
  const replayed = await of(enricherGroup(stream, version), job.replayTopic)
  const candidate = await of(enricherGroup(stream, version), rawTopic(stream))
  const refinedEnd = (await ports.topics.offsets(job.refinedTopic)).map((partition) => partition.lastStableOffset)
  const ends = findVersion(state, version)?.replay?.ends ?? []
  return {
    live: livePositions.map((offset, p) => offset ?? live.start[p] ?? 0),
    candidate,
    replayLeft: replayed.map((offset, p) => Math.max(0, (ends[p] ?? 0) - (offset ?? 0))),
    changeover: job.changeover,
    refinedEnd,
    silver: await of(silverGroup(stream, version), job.refinedTopic),
    landing: await of(landingGroup(stream, version), job.refinedTopic),
  }
}
