import type { ReplayedHistory } from '@mesh/shared/core/versions'
import { describe, expect, test } from 'vitest'
import { brokerQuestions, groupKey } from '../../../src/core/broker-questions.ts'
import { buildSnapshot } from '../../../src/core/snapshot.ts'
import { commit, inputs, offsets, replayJob, streamState, version } from '../inputs.ts'

const REPLAY: ReplayedHistory = {
  job: 'job',
  topic: 'replay.flights.job',
  topicId: 'x',
  ends: null,
  changeover: [90, 40],
}
const CANDIDATE = version(2, { status: 'candidate', replay: REPLAY })
const ENRICHER_1 = { group: 'mesh.enricher.refined.flights.v1', topic: 'raw.flights.v1' }
const ENRICHER_2 = { group: 'mesh.enricher.refined.flights.v2', topic: 'raw.flights.v1' }
const ENRICHER_2_REPLAY = { ...ENRICHER_2, topic: 'replay.flights.job' }

describe('questions', () => {
  test('ask for every topic and group of live and candidate versions, and of none that is retired', () => {
    const { topics, groups } = brokerQuestions([
      streamState([version(1), CANDIDATE, version(0, { status: 'retired' })]),
    ])
    expect(topics).toEqual([
      'raw.flights.v1',
      'dead-letter.flights.v1',
      'refined.flights.v1',
      'refined.flights.v2',
      'replay.flights.job',
    ])
    expect(groups.map(groupKey)).toEqual([
      'mesh.lake-sink.bronze.flights.v1 raw.flights.v1',
      'mesh.enricher.refined.flights.v1 raw.flights.v1',
      'mesh.lake-sink.silver.flights.v1 refined.flights.v1',
      'mesh.warehouse-sink.landing.flights.v1 refined.flights.v1',
      'mesh.enricher.refined.flights.v2 raw.flights.v1',
      'mesh.lake-sink.silver.flights.v2 refined.flights.v2',
      'mesh.warehouse-sink.landing.flights.v2 refined.flights.v2',
      'mesh.enricher.refined.flights.v2 replay.flights.job',
    ])
  })
})

describe('lag', () => {
  const lagOf = (
    committed: readonly (readonly [number, number])[],
    end = offsets([0, 100], [10, 60]),
  ): number | null => {
    const broker = {
      offsets: new Map([['raw.flights.v1', end]]),
      committed: new Map([[groupKey(ENRICHER_1), new Map(committed)]]),
      problems: [],
    }
    return buildSnapshot(inputs({ broker })).streams[0]!.versions[0]!.enricher.lag
  }

  test('is the last stable offset minus the position, over all partitions', () => {
    expect(
      lagOf([
        [0, 70],
        [1, 60],
      ]),
    ).toBe(30)
  })

  test('of a partition without an offset is all that the log still has', () => {
    expect(lagOf([[0, 100]])).toBe(50)
  })

  test('of a position that retention passed counts what is left', () => {
    expect(
      lagOf([
        [0, 100],
        [1, 3],
      ]),
    ).toBe(50)
  })

  test('is never below zero, though the offset was read later than the end', () => {
    expect(
      lagOf([
        [0, 120],
        [1, 60],
      ]),
    ).toBe(0)
  })

  test('is unknown when the topic cannot be read', () => {
    expect(buildSnapshot(inputs()).streams[0]!.versions[0]!.enricher.lag).toBeNull()
  })

  test('of a candidate is its replay topic and raw from the changeover on', () => {
    const broker = {
      offsets: new Map([
        ['raw.flights.v1', offsets([0, 100], [0, 60])],
        ['replay.flights.job', offsets([0, 80], [0, 30])],
      ]),
      committed: new Map([
        [groupKey(ENRICHER_2), new Map<number, number>()],
        [
          groupKey(ENRICHER_2_REPLAY),
          new Map([
            [0, 75],
            [1, 30],
          ]),
        ],
      ]),
      problems: [],
    }
    const versions = new Map([['flights', streamState([version(1), CANDIDATE])]])
    const [, candidate] = buildSnapshot(inputs({ broker, versions })).streams[0]!.versions
    expect(candidate).toMatchObject({ version: 2, status: 'candidate', replayJob: 'job' })
    expect(candidate!.enricher.lag).toBe(5 + 10 + 20)
  })
})

describe('books', () => {
  test('are the cumulative counts of all partitions of the layer and version', () => {
    const commits = new Map([
      commit('refined', 1, 0, { ok: 5, outputs: 6, drop: 1 }),
      commit('refined', 1, 1, { ok: 2, outputs: 2, deadLetter: 3 }),
      commit('refined', 2, 0, { ok: 99 }),
      commit('landing', 1, 0, { outputs: 6, redelivered: 4 }),
    ])
    const [live] = buildSnapshot(inputs({ commits })).streams[0]!.versions
    expect(live!.enricher.counts).toMatchObject({ ok: 7, outputs: 8, drop: 1, deadLetter: 3 })
    expect(live!.enricher).toMatchObject({
      announcedAt: '2024-01-01T00:00:01Z',
      maxEventTime: '2023-11-14T22:13:20.001Z',
    })
    expect(live!.landing.counts).toMatchObject({ outputs: 6, redelivered: 4 })
    expect(live!.silver).toEqual({ lag: null, counts: null, announcedAt: null, maxEventTime: null })
  })

  test('outputs are those of all lanes, and what is parked waits until it is released', () => {
    const [key, event] = commit('refined', 1, 0, { ok: 1, outputs: 2, drop: 1, deadLetter: 1 })
    const parked: [string, typeof event] = [key.replace('/main/', '/parked/'), { ...event, lane: 'parked' }]
    const commits = new Map([commit('refined', 1, 0, { ok: 5, outputs: 6, parked: 4 }), parked])
    const [live] = buildSnapshot(inputs({ commits })).streams[0]!.versions
    expect(live!.enricher.counts).toMatchObject({ ok: 5, outputs: 8, drop: 0, deadLetter: 0, parked: 4 })
    expect(live!.waiting).toBe(1)
  })

  test('an event time beyond what a date can hold is left out', () => {
    const [key, event] = commit('landing', 1, 0, {})
    const commits = new Map([[key, { ...event, maxEventTime: 9e15 }]])
    expect(buildSnapshot(inputs({ commits })).streams[0]!.versions[0]!.landing.maxEventTime).toBeNull()
  })
})

test('topics show what was ever written and their rate; one that is not there shows neither', () => {
  const broker = {
    offsets: new Map([['raw.flights.v1', offsets([50, 100], [0, 60])]]),
    committed: new Map(),
    problems: ['x'],
  }
  const snapshot = buildSnapshot(inputs({ broker, rates: new Map([['raw.flights.v1', 2.5]]), problems: ['y'] }))
  expect(snapshot.streams[0]!.raw).toEqual({ topic: 'raw.flights.v1', written: 160, rate: 2.5 })
  expect(snapshot.streams[0]!.deadLetters).toEqual({ topic: 'dead-letter.flights.v1', written: null, rate: null })
  expect(snapshot.problems).toEqual(['y', 'x'])
})

test('replays come newest first, with their progress counted from the start of their plan', () => {
  const older = replayJob({ id: 'older', createdAt: '2023-01-01T00:00:00Z', state: 'CUTOVER' })
  const failing = replayJob({
    error: { code: 'MESH_LAKE_UNAVAILABLE', message: 'no lake' },
    progress: {
      ...replayJob().progress,
      candidateLag: [{ partition: 0, enricher: 1, silver: 2, landing: 3, parked: 4 }],
    },
  })
  const { replays } = buildSnapshot(
    inputs({
      replays: new Map([
        ['older', older],
        ['job', failing],
      ]),
    }),
  )
  expect(replays.map(({ id }) => id)).toEqual(['job', 'older'])
  expect(replays[0]).toMatchObject({ done: 100, total: 150, candidateLag: 10, error: 'MESH_LAKE_UNAVAILABLE: no lake' })
  expect(replays[1]).toMatchObject({ done: 100, candidateLag: null, error: null })
})
