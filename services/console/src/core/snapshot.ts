import { addCounts, type CommitEvent, type Counts, commitKey, ZERO_COUNTS } from '@mesh/shared/core/books'
import { MAIN_LANE, PARKED_LANE } from '@mesh/shared/core/coordinate'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { RunsRecord } from '@mesh/shared/core/runs'
import {
  bronzeGroup,
  deadLetterTopic,
  enricherGroup,
  type Layer,
  landingGroup,
  rawTopic,
  refinedTopic,
  silverGroup,
} from '@mesh/shared/core/topics'
import { newestBundle, type StreamVersion, type StreamVersions } from '@mesh/shared/core/versions'
import { activeVersions, type BrokerState, type GroupQuestion, groupKey } from './broker-questions.ts'
import { jobSnapshots } from './job-snapshot.ts'
import type {
  EdgeSnapshot,
  ReplaySnapshot,
  ServiceHealth,
  Snapshot,
  StreamSnapshot,
  TopicSnapshot,
  VersionSnapshot,
} from './snapshot-types.ts'

export type SnapshotInputs = {
  readonly at: string
  readonly versions: ReadonlyMap<string, StreamVersions>
  /** Latest commit event per `commitKey`. */
  readonly commits: ReadonlyMap<string, CommitEvent>
  readonly replays: ReadonlyMap<string, ReplayJob>
  /** `mesh.runs` by key. */
  readonly runs: ReadonlyMap<string, RunsRecord>
  readonly broker: BrokerState
  readonly rates: ReadonlyMap<string, number>
  readonly services: readonly ServiceHealth[]
  readonly problems: readonly string[]
}

/** Most replays that a snapshot carries, newest first. */
const MAX_REPLAYS = 20

export function buildSnapshot(inputs: SnapshotInputs): Snapshot {
  return {
    at: inputs.at,
    services: inputs.services,
    streams: [...inputs.versions.values()]
      .sort((a, b) => (a.stream < b.stream ? -1 : 1))
      .map((state) => streamSnapshot(state, inputs)),
    replays: [...inputs.replays.values()]
      .sort((a, b) => (a.createdAt > b.createdAt ? -1 : 1))
      .slice(0, MAX_REPLAYS)
      .map(replaySnapshot),
    jobs: jobSnapshots(inputs.runs.values()),
    problems: [...inputs.problems, ...inputs.broker.problems],
  }
}

function streamSnapshot(state: StreamVersions, inputs: SnapshotInputs): StreamSnapshot {
  const { stream, epoch, live, partitions } = state
  const raw = rawTopic(stream)
  return {
    stream,
    epoch,
    live,
    partitions,
    raw: topicSnapshot(raw, inputs),
    bronze: edge(state, 'bronze', 1, lagOf({ group: bronzeGroup(stream), topic: raw }, inputs), inputs),
    deadLetters: topicSnapshot(deadLetterTopic(stream), inputs),
    versions: activeVersions(state).map((version) => versionSnapshot(state, version, inputs)),
  }
}

function versionSnapshot(state: StreamVersions, version: StreamVersion, inputs: SnapshotInputs): VersionSnapshot {
  const { stream } = state
  const number = version.version
  const topic = refinedTopic(stream, number)
  const main = edge(state, 'refined', number, enricherLag(state, version, inputs), inputs)
  const released = countsOf(state, { layer: 'refined', version: number, lane: PARKED_LANE }, inputs)
  return {
    version: number,
    status: version.status,
    code: newestBundle(version).codeHash.slice(0, 12),
    refined: topicSnapshot(topic, inputs),
    enricher: { ...main, counts: main.counts && addCounts(main.counts, { outputs: released.outputs }) },
    waiting: main.counts && main.counts.parked - released.ok - released.drop - released.deadLetter,
    silver: edge(state, 'silver', number, lagOf({ group: silverGroup(stream, number), topic }, inputs), inputs),
    landing: edge(state, 'landing', number, lagOf({ group: landingGroup(stream, number), topic }, inputs), inputs),
    replayJob: version.replay?.job ?? null,
  }
}

/** A candidate has yet to read its replay topic and then raw from the changeover on. */
function enricherLag(
  state: StreamVersions,
  { version, start, replay }: StreamVersion,
  inputs: SnapshotInputs,
): number | null {
  const group = enricherGroup(state.stream, version)
  const raw = lagOf({ group, topic: rawTopic(state.stream) }, inputs, replay?.changeover ?? start)
  if (replay === null || raw === null) return raw
  // A replay topic is deleted once it is read: nothing of it is left to read.
  return raw + (lagOf({ group, topic: replay.topic }, inputs) ?? 0)
}

/** @param floor per partition where a group without an offset begins; default the start of the log */
function lagOf(question: GroupQuestion, { broker }: SnapshotInputs, floor: readonly number[] = []): number | null {
  const partitions = broker.offsets.get(question.topic)
  const committed = broker.committed.get(groupKey(question))
  if (partitions === undefined || committed === undefined) return null
  let lag = 0
  for (const { partition, logStartOffset, lastStableOffset } of partitions) {
    const position = Math.max(committed.get(partition) ?? floor[partition] ?? 0, logStartOffset)
    lag += Math.max(0, lastStableOffset - position)
  }
  return lag
}

function topicSnapshot(topic: string, { broker, rates }: SnapshotInputs): TopicSnapshot {
  const partitions = broker.offsets.get(topic)
  if (partitions === undefined) return { topic, written: null, rate: null }
  const written = partitions.reduce((sum, { highWatermark }) => sum + highWatermark, 0)
  return { topic, written, rate: rates.get(topic) ?? null }
}

/** Books of a layer: the cumulative counts of its partitions, added up. */
function edge(
  state: StreamVersions,
  layer: Layer,
  version: number,
  lag: number | null,
  inputs: SnapshotInputs,
): EdgeSnapshot {
  let counts: Counts | null = null
  let announcedAt: string | null = null
  let maxEventTime: number | null = null
  for (let partition = 0; partition < state.partitions; partition++) {
    const event = inputs.commits.get(commitKey({ layer, stream: state.stream, version, lane: MAIN_LANE, partition }))
    if (event === undefined) continue
    counts = addCounts(counts ?? ZERO_COUNTS, event.counts)
    if (announcedAt === null || event.at > announcedAt) announcedAt = event.at
    if (event.maxEventTime !== null) maxEventTime = Math.max(maxEventTime ?? event.maxEventTime, event.maxEventTime)
  }
  return { lag, counts, announcedAt, maxEventTime: timeText(maxEventTime) }
}

/** What a lane's partitions have announced, added up. */
function countsOf(
  { stream, partitions }: StreamVersions,
  of: Pick<CommitEvent, 'layer' | 'version' | 'lane'>,
  inputs: SnapshotInputs,
): Counts {
  let counts = ZERO_COUNTS
  for (let partition = 0; partition < partitions; partition++) {
    counts = addCounts(counts, inputs.commits.get(commitKey({ ...of, stream, partition }))?.counts ?? {})
  }
  return counts
}

/** Beyond what `Date` holds there is no text. */
function timeText(ms: number | null): string | null {
  return ms === null || Math.abs(ms) > 8.64e15 ? null : new Date(ms).toISOString()
}

function replaySnapshot(job: ReplayJob): ReplaySnapshot {
  const { progress } = job
  const from = new Map(job.plan.partitions.map((plan) => [plan.partition, plan.from]))
  const total = progress.partitions.reduce((sum, { total: offsets }) => sum + offsets, 0)
  const done = progress.partitions.reduce(
    (sum, { partition, position, total: offsets }) =>
      sum + Math.min(offsets, Math.max(0, position - (from.get(partition) ?? 0))),
    0,
  )
  return {
    id: job.id,
    stream: job.stream,
    version: job.version,
    state: job.state,
    done,
    total,
    recordsPerSecond: progress.recordsPerSecond,
    etaSeconds: progress.etaSeconds,
    candidateLag:
      progress.candidateLag === null
        ? null
        : progress.candidateLag.reduce(
            (sum, { enricher, silver, landing, parked }) => sum + enricher + silver + landing + (parked ?? 0),
            0,
          ),
    error: job.error === null ? null : `${job.error.code}: ${job.error.message}`,
    updatedAt: job.updatedAt,
  }
}
