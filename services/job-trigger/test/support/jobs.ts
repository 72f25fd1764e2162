import { type CommitEvent, ZERO_COUNTS } from '@mesh/shared/core/books'
import type { Run } from '@mesh/shared/core/runs'
import type { Layer } from '@mesh/shared/core/topics'
import type { StreamVersion, StreamVersions } from '@mesh/shared/core/versions'
import type { JobDefinition } from '@mesh/shared/schema/job-file'
import type { JobFile } from '@mesh/shared/schema/jobs-folder'

export const RAW_ID = 'raw-id'

export function job(more: Partial<JobDefinition> = {}): JobDefinition {
  return {
    name: 'gold',
    description: '',
    engine: 'http',
    inputs: [{ stream: 'flights', layer: 'landing' }],
    coalesce: { quietMs: 500, maxWaitMs: 5000, minIntervalMs: 0 },
    concurrency: 1,
    retries: { attempts: 3, backoffMs: 1000, maxBackoffMs: 10_000 },
    timeoutMs: 60_000,
    schedule: null,
    replays: false,
    streaming: false,
    options: {},
    ...more,
  }
}

export const fileOf = (definition: JobDefinition): JobFile => ({
  name: definition.name,
  file: `jobs/${definition.name}.yaml`,
  text: JSON.stringify(definition),
  job: definition,
  error: null,
})

/** The commit event of a landing partition up to refined offset `next`, whose rows are raw offsets up to next - 1. */
export function commit(next: number, more: Partial<CommitEvent> = {}): CommitEvent {
  const { partition = 0, version = 1, stream = 'flights' } = more
  const layer: Layer = more.layer ?? 'landing'
  return {
    layer,
    stream,
    version,
    lane: 'main',
    topicId: `${stream}-v${version}`,
    partition,
    firstOffset: 0,
    nextOffset: next,
    counts: ZERO_COUNTS,
    bytes: 0,
    objects: [],
    minEventTime: null,
    maxEventTime: null,
    hash: '',
    highest: { [`main;${RAW_ID};${partition}`]: { offset: next - 1, index: 0 } },
    codeHash: '',
    contractHash: '',
    at: '2026-03-01T00:00:00Z',
    ...more,
  }
}

const version = (number: number, status: StreamVersion['status']): StreamVersion => ({
  version: number,
  status,
  bundles: [{ hash: 'h', codeHash: 'c', contractHash: 'k', schemaId: 1, from: [] }],
  start: [],
  replay: null,
})

/** `live`, and after it a candidate where one is named. */
export function versions(stream = 'flights', live = 1, epoch = 0, candidate?: number): StreamVersions {
  const all = [
    ...Array.from({ length: live - 1 }, (_, i) => version(i + 1, 'retired')),
    version(live, 'live'),
    ...(candidate === undefined ? [] : [version(candidate, 'candidate')]),
  ]
  return { stream, epoch, live, rawTopicId: RAW_ID, partitions: 1, versions: all, at: '2026-03-01T00:00:00Z' }
}

/** A planned run of job `gold` over nothing. */
export function run(id: string, more: Partial<Run> = {}): Run {
  return {
    kind: 'run',
    id,
    job: 'gold',
    engine: 'http',
    seq: 1,
    trigger: 'commit',
    full: false,
    candidate: false,
    vector: [],
    asOf: [],
    streams: {},
    supersedes: [],
    scheduledAt: null,
    state: 'planned',
    attempt: 0,
    failures: 0,
    attempts: [],
    error: null,
    nextAttemptAt: null,
    result: null,
    newestInputAt: null,
    plannedAt: '2026-03-01T00:00:00.000Z',
    startedAt: null,
    endedAt: null,
    ...more,
  }
}
