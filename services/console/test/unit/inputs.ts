import { type CommitEvent, type Counts, commitKey, ZERO_COUNTS } from '@mesh/shared/core/books'
import type { ReplayJob } from '@mesh/shared/core/replay-api'
import type { Layer } from '@mesh/shared/core/topics'
import type { StreamVersion, StreamVersions } from '@mesh/shared/core/versions'
import type { TopicOffsets } from '../../src/core/broker-questions.ts'
import type { SnapshotInputs } from '../../src/core/snapshot.ts'

export function version(number: number, more: Partial<StreamVersion> = {}): StreamVersion {
  const bundle = { hash: 'h', codeHash: '0123456789abcdef', contractHash: 'c', schemaId: 1, from: [] }
  return { version: number, status: 'live', bundles: [bundle], start: [0, 0], replay: null, ...more }
}

export function streamState(versions: readonly StreamVersion[], live = 1): StreamVersions {
  return { stream: 'flights', epoch: 3, live, rawTopicId: 'r', partitions: 2, versions, at: '2024-01-01T00:00:00Z' }
}

/** Per partition [logStartOffset, end]. */
export function offsets(...partitions: readonly (readonly [number, number])[]): readonly TopicOffsets[] {
  return partitions.map(([logStartOffset, end], partition) => ({
    partition,
    logStartOffset,
    highWatermark: end,
    lastStableOffset: end,
  }))
}

export function commit(
  layer: Layer,
  number: number,
  partition: number,
  counts: Partial<Counts>,
): [string, CommitEvent] {
  const event: CommitEvent = {
    layer,
    stream: 'flights',
    version: number,
    lane: 'main',
    topicId: 't',
    partition,
    firstOffset: 0,
    nextOffset: 10,
    counts: { ...ZERO_COUNTS, ...counts },
    bytes: 0,
    objects: [],
    minEventTime: null,
    maxEventTime: 1_700_000_000_000 + partition,
    hash: '',
    codeHash: '',
    contractHash: '',
    at: `2024-01-01T00:00:0${partition}Z`,
  }
  return [commitKey(event), event]
}

export function replayJob(more: Partial<ReplayJob> = {}): ReplayJob {
  return {
    id: 'job',
    stream: 'flights',
    state: 'RUNNING',
    version: 2,
    plan: {
      rawTopicId: 'r',
      source: 'auto',
      bundle: 'h',
      partitions: [
        { partition: 0, from: 100, to: 200, lakeTo: 200, holes: 0 },
        { partition: 1, from: 0, to: 50, lakeTo: 50, holes: 0 },
      ],
      hash: 'p',
    },
    changeover: [200, 50],
    replayTopic: 'replay.flights.job',
    refinedTopic: 'refined.flights.v2',
    recordsPerSecond: null,
    progress: {
      partitions: [
        { partition: 0, position: 150, emitted: 50, total: 100 },
        { partition: 1, position: 50, emitted: 50, total: 50 },
      ],
      recordsPerSecond: 20,
      etaSeconds: 2.5,
      candidateLag: null,
    },
    error: null,
    cleaned: false,
    createdAt: '2024-01-01T00:00:00Z',
    updatedAt: '2024-01-01T00:00:10Z',
    ...more,
  }
}

export function inputs(more: Partial<SnapshotInputs> = {}): SnapshotInputs {
  return {
    at: '2024-01-01T00:00:00Z',
    versions: new Map([['flights', streamState([version(1)])]]),
    commits: new Map(),
    replays: new Map(),
    runs: new Map(),
    broker: { offsets: new Map(), committed: new Map(), problems: [] },
    rates: new Map(),
    services: [],
    problems: [],
    ...more,
  }
}
