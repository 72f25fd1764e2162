import { formatHash } from '@mesh/shared/core/books'
import { parseMeshSrc } from '@mesh/shared/core/coordinate'
import { isMeshError } from '@mesh/shared/core/errors'
import { bytesText } from '@mesh/shared/core/record'
import { deadLetterTopic, enricherGroup, rawTopic, refinedTopic, stateTopic } from '@mesh/shared/core/topics'
import { isBrokerError } from '@mesh/shared/testing/memory-broker/broker-error'
import { expect } from 'vitest'
import { stillParked } from '../../src/core/books.ts'
import { readBooks } from '../../src/core/books-metadata.ts'
import { recompute } from '../oracle.ts'
import { srcOf } from '../orders.ts'
import { byOrigin, outputsOf, readOutputs } from '../reader.ts'
import { type Run, runSchedule } from './run.ts'
import { type Faults, type Guarantee, PARTITIONS, rowOf, STREAM } from './stream.ts'

/** What no answer may end a process with. Another owner ends no process, and anything else is a defect. */
const EXPECTED_ENDS: readonly string[] = ['MESH_KAFKA_UNAVAILABLE']

/** Every invariant, by a recomputation of the raw log that knows nothing of batches, commits or restarts. */
export async function expectExact(run: Run, faults: Faults): Promise<void> {
  for (const error of run.fatal) if (!isExpectedEnd(error)) throw error
  const committed = await run.kafka.admin.committed(enricherGroup(STREAM, 1), rawTopic(STREAM))
  for (let p = 0; p < PARTITIONS; p++)
    expectPartition(run, { partition: p, metadata: committed.get(p)!.metadata }, faults)
}

function isExpectedEnd(error: unknown): boolean {
  return isBrokerError(error, 'REQUEST_TIMED_OUT') || (isMeshError(error) && EXPECTED_ENDS.includes(error.code))
}

function expectPartition(
  { kafka, state, code, rows }: Run,
  { partition, metadata }: { partition: number; metadata: string },
  faults: Faults,
): void {
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

  const books = readBooks(metadata, 'test')
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

/** `MESH_SEED=17` runs that seed alone, `MESH_SEEDS=20000` so many of them under each guarantee. */
const SEED = process.env['MESH_SEED']
export const SEEDS: number = SEED === undefined ? Number(process.env['MESH_SEEDS'] ?? 500) : 1
const FIRST = Number(SEED ?? 1)

function faultsOf(seed: number, guarantee: Guarantee, replays: boolean): Faults {
  return { guarantee, waits: seed % 3 !== 0, zombies: seed % 2 === 0, replays }
}

/** Runs the seeds under a guarantee; the first that ends wrong is thrown, with the command that repeats it. */
export async function runSeeds(
  guarantee: Guarantee,
  file: string,
  { replays = false, seeds = SEEDS }: { readonly replays?: boolean; readonly seeds?: number } = {},
): Promise<void> {
  // Stacks of the many errors that are answers cost more than the answers; a seed alone has them.
  if (SEED === undefined) Error.stackTraceLimit = 0
  let started = 0
  for (let seed = FIRST; seed < FIRST + seeds; seed++) {
    const faults = faultsOf(seed, guarantee, replays)
    try {
      const run = await runSchedule(seed, faults)
      started += run.started
      await expectExact(run, faults)
    } catch (error) {
      const again = `MESH_SEED=${seed} npm test -- --project unit ${file}`
      const what = error instanceof Error ? error.message : String(error)
      throw new Error(`seed ${seed} (${JSON.stringify(faults)}); again: ${again}\n${what}`, { cause: error })
    }
  }
  // The seeds did kill: more processes were started than the two of every run.
  expect(started).toBeGreaterThan(2 * seeds)
}
