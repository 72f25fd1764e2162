import { formatHash } from '@mesh/shared/core/books'
import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { bytesText } from '@mesh/shared/core/record'
import { deadLetterTopic, enricherGroup, rawTopic, refinedTopic, stateTopic } from '@mesh/shared/core/topics'
import { describe, expect, test } from 'vitest'
import { stillParked } from '../../src/core/books.ts'
import { readBooks } from '../../src/core/books-metadata.ts'
import { recompute } from '../oracle.ts'
import { srcOf } from '../orders.ts'
import { byOrigin, outputsOf, readOutputs } from '../reader.ts'
import { type Faults, type Guarantee, PARTITIONS, type Run, rowOf, runSchedule, STREAM } from '../schedules.ts'

/** `MESH_SEED=17` runs that seed alone, `MESH_SEEDS=20000` so many of them under each guarantee. */
const SEED = process.env['MESH_SEED']
const SEEDS = SEED === undefined ? Number(process.env['MESH_SEEDS'] ?? 200) : 1
const FIRST = Number(SEED ?? 1)

function faultsOf(seed: number, guarantee: Guarantee): Faults {
  return { guarantee, waits: seed % 3 !== 0, zombies: seed % 2 === 0 }
}

function expectExact(
  { kafka, state, code, rows }: Run,
  partition: number,
  committed: { metadata: string },
  faults: Faults,
) {
  const log = kafka.log(rawTopic(STREAM), partition).map((record) => ({ offset: record.offset, record }))
  const at = { topicId: state.rawTopicId, partition }
  const findRow = (_stream: string, key: string) => (rows.has(key) ? rowOf(key) : null)
  const expected = recompute(log, at, { code, findRow })
  const { outputs, hash, redelivered } = readOutputs(kafka.log(refinedTopic(STREAM, 1), partition))

  expect(outputs.map(({ origin, value }) => [origin, value]).sort(byOrigin)).toEqual(outputsOf(expected.fates))
  if (faults.guarantee === 'exactly-once') expect(redelivered).toBe(0)

  const lastOfKey = new Map<string, number>()
  for (const { key, offset } of outputs) {
    expect(offset).toBeGreaterThanOrEqual(lastOfKey.get(key) ?? -1)
    lastOfKey.set(key, offset)
  }

  const dead = kafka.log(deadLetterTopic(STREAM), partition).map((record) => parseMeshSrc(srcOf(record)).offset)
  const refused = expected.fates.flatMap((fate, offset) => (fate.kind === 'deadLetter' ? [offset] : []))
  const once = faults.guarantee === 'exactly-once' ? dead : [...new Set(dead)]
  expect(once.sort((a, b) => a - b)).toEqual(refused)

  const books = readBooks(committed.metadata, 'test')
  const { counts, parked } = books
  expect({
    records: counts.ok + counts.drop + counts.duplicate + counts.deadLetter + counts.parked,
    outputs: counts.outputs + parked.outputs,
    duplicate: counts.duplicate,
    drop: counts.drop + parked.drop,
    deadLetter: counts.deadLetter + parked.deadLetter,
    waiting: stillParked(books),
    hash: formatHash((books.hash + parked.hash) & ((1n << 128n) - 1n)),
  }).toEqual({
    records: log.length,
    outputs: expected.counts.outputs,
    duplicate: expected.counts.duplicate,
    drop: expected.counts.drop,
    deadLetter: expected.counts.deadLetter,
    waiting: 0,
    hash: formatHash(hash),
  })

  const parkedLeft = new Map(kafka.log(stateTopic(STREAM, 1), partition).map((r) => [bytesText(r.key!), r.value]))
  expect([...parkedLeft].filter(([, value]) => value !== null)).toEqual([])
}

describe.each(['at-least-once', 'exactly-once'] as const)('schedules, %s', (guarantee) => {
  test(`${SEEDS} of kills, zombies, lost and late requests and rebalances end exact`, {
    timeout: 600_000,
  }, async () => {
    let started = 0
    for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
      const faults = faultsOf(seed, guarantee)
      try {
        const run = await runSchedule(seed, faults)
        started += run.started
        const committed = await run.kafka.admin.committed(enricherGroup(STREAM, 1), rawTopic(STREAM))
        for (let p = 0; p < PARTITIONS; p++) expectExact(run, p, committed.get(p)!, faults)
      } catch (error) {
        const again = `MESH_SEED=${seed} npm test -- --project unit services/enricher/test/unit/schedules.test.ts -t ${guarantee}`
        throw new Error(`seed ${seed} (${JSON.stringify(faults)}); again: ${again}\n${(error as Error).message}`, {
          cause: error,
        })
      }
    }
    // The seeds did kill: more processes were started than the two of every run.
    expect(started).toBeGreaterThan(2 * SEEDS)
  })
})
