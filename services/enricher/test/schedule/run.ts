import { MeshError } from '@mesh/shared/core/errors'
import {
  COMMITS_TOPIC,
  deadLetterTopic,
  enricherGroup,
  rawTopic,
  refinedTopic,
  stateTopic,
} from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import type { Committed } from '@mesh/shared/kafka/port'
import { createMemoryKafka, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { createVirtualScheduler, type VirtualScheduler } from '@mesh/shared/testing/virtual-scheduler'
import { stillParked } from '../../src/core/books.ts'
import { readBooks } from '../../src/core/books-metadata.ts'
import type { RefineCode } from '../../src/core/decide.ts'
import { seeded } from '../seeded.ts'
import { createFleet } from './faults.ts'
import { replayFirst } from './history.ts'
import { startProcess } from './process.ts'
import {
  type Faults,
  HEALED_MS,
  PARTITIONS,
  RECORDS_PER_PARTITION,
  type Rows,
  records,
  rowsOf,
  STREAM,
  scheduleCode,
} from './stream.ts'

const GROUP = enricherGroup(STREAM, 1)

export type Run = {
  readonly kafka: MemoryKafka
  readonly state: StreamVersions
  readonly code: RefineCode
  readonly rows: Rows
  readonly started: number
  /** Errors that ended a process. */
  readonly fatal: readonly unknown[]
}

/** Where processes play: a broker in virtual time with the stream's topics, and its code. */
export type Stage = Pick<Run, 'kafka' | 'state' | 'code'> & { readonly scheduler: VirtualScheduler }

export async function setStage(faults: Faults): Promise<Stage> {
  const scheduler = createVirtualScheduler()
  const kafka = createMemoryKafka({ scheduler })
  const own = [rawTopic(STREAM), refinedTopic(STREAM, 1), deadLetterTopic(STREAM), stateTopic(STREAM, 1)]
  await kafka.admin.ensureTopics([
    ...own.map((name) => ({ name, partitions: PARTITIONS, config: {} })),
    { name: COMMITS_TOPIC, partitions: 1, config: {} },
  ])
  return { scheduler, kafka, state: await stateOf(kafka), code: scheduleCode(faults) }
}

/** One life of a stream under faults, from its first record until everything is decided and a while is quiet. */
export async function runSchedule(seed: number, faults: Faults): Promise<Run> {
  const stage = await setStage(faults)
  const { scheduler, kafka, code } = stage
  const random = seeded(seed)
  const raw = rawTopic(STREAM)
  const rows = rowsOf(random, scheduler.now())
  const events = records(random)
  const { state, flowing } = faults.replays ? await replayFirst(stage, events, random) : { ...stage, flowing: events }
  let healed = false

  // Half of the requests take no time: whatever can be ready at once is.
  kafka.latency(({ client }) => (client === 'port' || random.chance(0.5) ? 0 : random.below(20)))
  kafka.markerDelay(() => random.below(40))
  kafka.heartbeats(() => random.below(1000))
  /** A partition that cannot be opened stands, and is tried again. */
  const disk = (): void => {
    if (!healed && random.chance(0.2)) throw new MeshError('MESH_STATE_DAMAGED', 'the disk does not answer')
  }
  const fleet = createFleet({ kafka, scheduler, random }, faults, (client, onFatal) =>
    startProcess(client, { scheduler, random, state, code, rows, onFatal, disk }),
  )
  fleet.launch()
  fleet.launch()

  const producer = await kafka.producer()
  for (const { at, record } of flowing) scheduler.after(at, () => void producer.send(raw, [record]))
  for (let at = 0; at < HEALED_MS; at += 1000) {
    if (random.chance(0.2)) scheduler.after(at, () => kafka.rebalance(GROUP))
  }
  scheduler.after(HEALED_MS, () => {
    healed = true
    fleet.heal()
  })
  let settled = false
  const look = (): void => {
    scheduler.after(500, () => {
      void kafka.admin.committed(GROUP, raw).then((committed) => {
        settled = healed && isSettled(kafka, committed)
        look()
      })
    })
  }
  look()
  await scheduler.runUntil(() => settled, `everything decided under seed ${seed}`, 300_000)
  // What a zombie or a late request could still add has its time.
  const end = Math.max(fleet.quietFrom(), scheduler.now()) + 2000
  await scheduler.runUntil(() => scheduler.now() >= end, 'a quiet while', 60_000)
  // Whoever reads the partitions next takes away what a zombie has left there of parked state.
  kafka.rebalance(GROUP)
  const readAgain = scheduler.now() + 2000
  await scheduler.runUntil(() => scheduler.now() >= readAgain, 'the partitions to be read once more', 60_000)
  return { kafka, state, code, rows, started: fleet.started(), fatal: fleet.fatal }
}

function isSettled(kafka: MemoryKafka, committed: ReadonlyMap<number, Committed>): boolean {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const commit = committed.get(partition)
    if (commit === undefined || kafka.log(rawTopic(STREAM), partition).length < RECORDS_PER_PARTITION) return false
    if (commit.offset < RECORDS_PER_PARTITION || stillParked(readBooks(commit.metadata, 'test')) > 0) return false
  }
  return true
}

async function stateOf(kafka: MemoryKafka): Promise<StreamVersions> {
  const zeros = Array.from({ length: PARTITIONS }, () => 0)
  const bundle = { hash: 'bundle', codeHash: 'code', contractHash: 'contract', schemaId: 1, from: zeros }
  return {
    stream: STREAM,
    epoch: 0,
    live: 1,
    rawTopicId: (await kafka.admin.topicIds([rawTopic(STREAM)])).get(rawTopic(STREAM))!,
    partitions: PARTITIONS,
    versions: [{ version: 1, status: 'live', bundles: [bundle], start: zeros, replay: null }],
    at: '2026-01-01T00:00:00Z',
  }
}
