import { formatHash, refinedHash } from '@mesh/shared/core/books'
import { advanceHighest, type HighestSrc, isRedelivered, parseMeshSrc, parseOrigin } from '@mesh/shared/core/coordinate'
import { bytesText, headerText, type KafkaRecord } from '@mesh/shared/core/record'
import { deadLetterTopic, enricherGroup, rawTopic, refinedTopic, stateTopic } from '@mesh/shared/core/topics'
import { describe, expect, test } from 'vitest'
import { stillParked } from '../../src/core/books.ts'
import { readBooks } from '../../src/core/books-metadata.ts'
import { recompute } from '../oracle.ts'
import { srcOf } from '../orders.ts'
import { type Faults, type Guarantee, PARTITIONS, type Run, rowOf, runSchedule, STREAM } from '../schedules.ts'

/** `MESH_SEED=17` runs that seed alone, `MESH_SEEDS=20000` so many of them under each guarantee. */
const SEED = process.env['MESH_SEED']
const SEEDS = SEED === undefined ? Number(process.env['MESH_SEEDS'] ?? 500) : 1
const FIRST = Number(SEED ?? 1)

function faultsOf(seed: number, guarantee: Guarantee): Faults {
  return { guarantee, waits: seed % 3 !== 0, zombies: seed % 2 === 0 }
}

type Output = { readonly origin: string; readonly offset: number; readonly key: string; readonly value: string | null }

/** The records of the refined partition by a reader's rule. */
function readOutputs(log: readonly KafkaRecord[]): { outputs: Output[]; hash: bigint; redelivered: number } {
  const highest: HighestSrc = {}
  const outputs: Output[] = []
  let hash = 0n
  let redelivered = 0
  for (const record of log) {
    const src = parseMeshSrc(srcOf(record))
    if (isRedelivered(highest, src)) {
      redelivered++
      continue
    }
    advanceHighest(highest, src)
    hash += refinedHash(src, record.key, record.value?.subarray(5) ?? null)
    const text = headerText(record.headers, 'mesh-origin')
    const origin = text === null ? src : parseOrigin(text)
    outputs.push({
      origin: `${origin.offset};${origin.index}`,
      offset: origin.offset,
      key: bytesText(record.key!).split('/')[0]!,
      value: record.value === null ? null : bytesText(record.value.subarray(5)),
    })
  }
  return { outputs, hash: hash & ((1n << 128n) - 1n), redelivered }
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

  const wanted = expected.fates.flatMap((fate, offset) =>
    fate.kind === 'ok'
      ? fate.records.map((record, index) => [
          `${offset};${index}`,
          record.value === null ? null : bytesText(record.value.subarray(5)),
        ])
      : [],
  )
  const byOrigin = outputs.map(({ origin, value }) => [origin, value]).sort((a, b) => compareOrigins(a[0]!, b[0]!))
  expect(byOrigin).toEqual(wanted)
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

function compareOrigins(a: string, b: string): number {
  const [[x, i], [y, j]] = [a.split(';').map(Number), b.split(';').map(Number)] as [number[], number[]]
  return x! - y! || i! - j!
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
