import type { ReplayJob } from '@mesh/shared/core/replay-api'
import { addParked, NONE_PARKED } from '@mesh/shared/core/still-parked'
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
  const enricher = (of: number) =>
    ports.groups.enricherPositions(enricherGroup(stream, of), rawTopic(stream), state.partitions)
  const livePositions = await enricher(live.version)
  const replayed = await of(enricherGroup(stream, version), job.replayTopic)
  const candidate = await enricher(version)
  const refinedEnd = (await ports.topics.offsets(job.refinedTopic)).map((partition) => partition.lastStableOffset)
  const ends = findVersion(state, version)?.replay?.ends ?? []
  return {
    live: livePositions.map((at, p) => at?.offset ?? live.start[p] ?? 0),
    candidate: candidate.map((at) => at?.offset ?? null),
    parked: livePositions.map((at, p) => addParked(at?.parked ?? NONE_PARKED, candidate[p]?.parked ?? NONE_PARKED)),
    replayLeft: replayed.map((offset, p) => Math.max(0, (ends[p] ?? 0) - (offset ?? 0))),
    changeover: job.changeover,
    refinedEnd,
    silver: await of(silverGroup(stream, version), job.refinedTopic),
    landing: await of(landingGroup(stream, version), job.refinedTopic),
  }
}
