import type { Run } from '@mesh/shared/core/runs'
import { expect, test } from 'vitest'
import { jobSnapshots } from '../../../src/core/job-snapshot.ts'

function run(seq: number, more: Partial<Run> = {}): Run {
  const range = { layer: 'landing', stream: 'flights', version: 1, lane: 'main', topicId: 't', partition: 0 } as const
  return {
    kind: 'run',
    id: `gold.${seq}`,
    job: 'gold',
    engine: 'dbt',
    seq,
    trigger: 'commit',
    full: false,
    candidate: false,
    vector: [{ ...range, from: 10, to: 30, after: {}, upTo: {} }],
    asOf: [],
    streams: {},
    supersedes: [],
    scheduledAt: null,
    state: 'succeeded',
    attempt: 1,
    failures: 0,
    attempts: [],
    error: null,
    nextAttemptAt: null,
    result: null,
    newestInputAt: '2024-01-01T00:00:00.000Z',
    plannedAt: '2024-01-01T00:00:00.500Z',
    startedAt: '2024-01-01T00:00:01.000Z',
    endedAt: '2024-01-01T00:00:02.500Z',
    ...more,
  }
}

test('a job shows its last end, what is open and what is dead', () => {
  const error = { code: 'MESH_JOB_FAILED', message: 'a model failed' }
  const jobs = jobSnapshots([
    { kind: 'positions', stream: 'flights', positions: [] },
    run(3, { state: 'failed', endedAt: null, error }),
    run(1, { state: 'dead', error }),
    run(2),
  ])
  expect(jobs).toMatchObject([
    {
      job: 'gold',
      succeeded: 1,
      dead: ['gold.1'],
      last: { id: 'gold.2', input: 'flights v1 +20 to 30', freshnessMs: 2500, tookMs: 1500, error: null },
      open: [{ id: 'gold.3', state: 'failed', error: 'MESH_JOB_FAILED: a model failed', freshnessMs: null }],
    },
  ])
})
