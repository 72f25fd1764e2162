import { deadLetter, drop, ok, type Refine, tombstone } from '@mesh/client/refine'
import { header, type RecordToSend, textBytes } from '@mesh/shared/core/record'
import {
  COMMITS_TOPIC,
  deadLetterTopic,
  enricherGroup,
  rawTopic,
  refinedTopic,
  stateTopic,
} from '@mesh/shared/core/topics'
import type { StreamVersions } from '@mesh/shared/core/versions'
import { createCommitPublisher } from '@mesh/shared/kafka/commit-events'
import type { Service } from '@mesh/shared/runtime/service'
import { createMemoryKafka, type MemoryClient, type MemoryKafka } from '@mesh/shared/testing/memory-kafka'
import { createVirtualScheduler, type VirtualScheduler } from '@mesh/shared/testing/virtual-scheduler'
import type { JoinTables } from '../src/adapters/join-tables.ts'
import { stillParked } from '../src/core/books.ts'
import { readBooks } from '../src/core/books-metadata.ts'
import type { RefineCode } from '../src/core/decide.ts'
import { createDedupeStore } from '../src/core/dedupe.ts'
import type { JoinedRow } from '../src/core/joins.ts'
import { createKeyedState, createMemoryKeyedStore } from '../src/core/keyed-state.ts'
import { createRunner, type RunnerDeps } from '../src/runner.ts'
import { contractOf } from './contract.ts'
import { SILENT_TELEMETRY, TEST_LIMITS, testParking } from './process.ts'
import { seeded } from './seeded.ts'

export const STREAM = 'orders'
export const PARTITIONS = 2
/** The last one comes after everything has healed. */
export const RECORDS_PER_PARTITION = 15
const GROUP = enricherGroup(STREAM, 1)
const WAIT_MS = 5000
const HEALED_MS = 5000
/** A shorter pause than a session, and a longer one. */
const PAUSES_MS = [500, 7000] as const

export type Guarantee = 'at-least-once' | 'exactly-once'
export type Faults = { readonly guarantee: Guarantee; readonly zombies: boolean; readonly waits: boolean }
type Random = ReturnType<typeof seeded>

/** What a record of the schedule asks for. */
type Event = { readonly n: number; readonly c?: string; readonly does?: string; readonly parts?: number }

const refine: Refine<Event> = (event, { joins }) => {
  const record = { n: event.n, customer: joins['customer']?.['name'] ?? null }
  switch (event.does) {
    case 'drop':
      return drop('told to')
    case 'refuse':
      return deadLetter('ODD', 'told to')
    case 'throw':
      throw new RangeError('told to')
    case 'delete':
      return tombstone()
    case undefined:
    default:
      return event.parts === undefined
        ? ok(record)
        : ok(Array.from({ length: event.parts }, (_, i) => ({ record: { ...record, part: i }, subKey: `${i}` })))
  }
}

export function scheduleCode({ guarantee, waits }: Faults): RefineCode {
  const onMissing = { waitMs: WAIT_MS, giveUp: 'dead-letter' } as const
  const joins = waits ? [{ stream: 'customers', as: 'customer', on: '/c', onMissing }] : []
  return {
    codeHash: 'code',
    codeHeader: header('mesh-code', 'code'),
    contractHash: 'contract',
    contract: contractOf({ refineWith: { guarantee, dedupeWindowMs: 60_000, joins } }),
    refine: refine as Refine,
    encode: (record) => Buffer.concat([Buffer.alloc(5), Buffer.from(JSON.stringify(record))]),
  }
}

/** Rows by key, each from its time on; what has none never comes. The same for every process. */
export type Rows = ReadonlyMap<string, number>

export const rowOf = (key: string): JoinedRow => ({
  src: `main;customers;0;${key};0`,
  record: { name: `name of ${key}` },
})

function tablesOf(rows: Rows, scheduler: VirtualScheduler): JoinTables {
  const find = (key: string): JoinedRow | null =>
    scheduler.now() >= (rows.get(key) ?? Number.POSITIVE_INFINITY) ? rowOf(key) : null
  return {
    acquire: async () => ({
      find,
      findAsOf: (key) => ({ row: find(key), beyond: false }),
      knows: () => true,
      size: () => rows.size,
      onRow(listener) {
        for (const [key, at] of rows) {
          if (at > scheduler.now()) scheduler.after(at - scheduler.now(), () => listener(key))
        }
        return () => {}
      },
    }),
    release: async () => {},
    positions: () => ({}),
    sizes: () => [],
  }
}

export type Run = {
  readonly kafka: MemoryKafka
  readonly state: StreamVersions
  readonly code: RefineCode
  readonly rows: Rows
  readonly started: number
}

/** One life of a stream under faults, from its first record until everything is decided and a while is quiet. */
export async function runSchedule(seed: number, faults: Faults): Promise<Run> {
  const scheduler = createVirtualScheduler()
  const random = seeded(seed)
  const kafka = createMemoryKafka({ scheduler })
  const raw = rawTopic(STREAM)
  const own = [raw, refinedTopic(STREAM, 1), deadLetterTopic(STREAM), stateTopic(STREAM, 1)]
  await kafka.admin.ensureTopics([
    ...own.map((name) => ({ name, partitions: PARTITIONS, config: {} })),
    { name: COMMITS_TOPIC, partitions: 1, config: {} },
  ])
  const begin = scheduler.now()
  const rows = rowsOf(random, begin)
  const code = scheduleCode(faults)
  const state = await stateOf(kafka)
  const life = { healed: false, started: 0 }
  let quietFrom = begin

  kafka.latency(({ client }) => (client === 'port' ? 0 : random.below(20)))
  kafka.markerDelay(() => random.below(40))
  kafka.fault(({ client }) => {
    if (life.healed || client === 'port' || !random.chance(0.04)) return null
    return (['before', 'after', 'late'] as const)[random.below(3)]!
  })

  function launch(): void {
    const client = kafka.client(`enricher ${++life.started}`)
    let over = false
    const restart = (): void => {
      if (over) return
      over = true
      client.kill()
      scheduler.after(300, launch)
    }
    startProcess(client, { scheduler, random, state, code, rows, onFatal: restart }).catch(restart)
    const live = (): void => {
      if (over || life.healed) return
      const dice = random.below(100)
      if (dice < 12) return restart()
      if (faults.zombies && dice < 30) {
        client.pause()
        const length = PAUSES_MS[random.below(2)]!
        quietFrom = Math.max(quietFrom, scheduler.now() + length)
        scheduler.after(length, () => client.resume())
        return void scheduler.after(length + 500, live)
      }
      scheduler.after(200 + random.below(1200), live)
    }
    scheduler.after(300, live)
  }
  launch()
  launch()

  const producer = await kafka.producer()
  for (const { at, record } of records(random)) scheduler.after(at, () => void producer.send(raw, [record]))
  for (let at = 0; at < HEALED_MS; at += 1000) {
    if (random.chance(0.2)) scheduler.after(at, () => kafka.rebalance(GROUP))
  }
  scheduler.after(HEALED_MS, () => {
    life.healed = true
  })
  const settled = (): boolean => life.healed && kafka.log(raw, 0).length > 0 && isSettled(kafka, committed)
  let committed = new Map<number, { offset: number; metadata: string }>()
  const look = (): void => {
    scheduler.after(500, () => {
      void kafka.admin.committed(GROUP, raw).then((found) => {
        committed = new Map(found)
        look()
      })
    })
  }
  look()
  await scheduler.runUntil(settled, `everything decided under seed ${seed}`, 300_000)
  // What a zombie or a late request could still add has its time.
  const end = Math.max(quietFrom, scheduler.now()) + 2000
  await scheduler.runUntil(() => scheduler.now() >= end, 'a quiet while', 60_000)
  return { kafka, state, code, rows, started: life.started }
}

function isSettled(kafka: MemoryKafka, committed: ReadonlyMap<number, { offset: number; metadata: string }>): boolean {
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const commit = committed.get(partition)
    if (commit === undefined || kafka.log(rawTopic(STREAM), partition).length < RECORDS_PER_PARTITION) return false
    if (commit.offset < RECORDS_PER_PARTITION || stillParked(readBooks(commit.metadata, 'test')) > 0) return false
  }
  return true
}

type ProcessOf = {
  readonly scheduler: VirtualScheduler
  readonly random: Random
  readonly state: StreamVersions
  readonly code: RefineCode
  readonly rows: Rows
  readonly onFatal: (error: unknown) => void
}

async function startProcess(client: MemoryClient, of: ProcessOf): Promise<Service> {
  const { scheduler, random, state, code, rows, onFatal } = of
  const producer = await client.producer()
  const publisher = createCommitPublisher(producer)
  const jitter = (): number => random.below(1000) / 1000
  const deps: RunnerDeps = {
    kafka: client,
    producer,
    publish: (event) => publisher.publish(event),
    codes: { load: async () => code },
    tables: tablesOf(rows, scheduler),
    openDedupe: ({ retainMs }) => createDedupeStore(retainMs),
    openKeyed: () => createKeyedState(createMemoryKeyedStore()),
    look: () => Promise.reject(new Error('nobody answers lookups')),
    limits: { ...TEST_LIMITS, maxChunkBytes: 600, maxTransactionBytes: 2000 },
    pace: {
      commitIntervalMs: 300,
      transactionIntervalMs: 300,
      tickMs: 250,
      now: () => scheduler.now(),
      random: jitter,
    },
    parking: testParking({ maxRecords: 6, retry: { initialMs: 500, maxMs: 4000, factor: 2, retries: 1e9 } }),
    wallClock: () => new Date(scheduler.now()).toISOString(),
    epochMs: () => scheduler.now(),
    random: jitter,
    telemetry: SILENT_TELEMETRY,
    onStall: () => {},
    onFatal,
  }
  const joined = code.contract.refine.joins.length > 0 ? new Map([['customers', 1]]) : new Map<string, number>()
  const runner = createRunner(deps, { state, version: state.versions[0]!, joined, scopes: new Map() })
  await runner.start()
  return runner
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

/** Half of the customers are known; others come, one never does. */
function rowsOf(random: Random, begin: number): Rows {
  const rows = new Map<string, number>()
  for (let c = 0; c < 7; c++) rows.set(`c${c}`, random.chance(0.4) ? begin : begin + random.below(4500))
  return rows
}

const DOES = ['drop', 'refuse', 'throw', 'delete'] as const

function records(random: Random): { at: number; record: RecordToSend }[] {
  const all: { at: number; record: RecordToSend }[] = []
  for (let n = 0; n < RECORDS_PER_PARTITION * PARTITIONS; n++) {
    const event: Event = {
      n,
      c: `c${random.below(8)}`,
      ...(random.chance(0.25) && { does: DOES[random.below(DOES.length)]! }),
      ...(random.chance(0.3) && { parts: random.below(4) }),
    }
    const value = random.chance(0.05) ? textBytes('{') : random.chance(0.05) ? null : textBytes(JSON.stringify(event))
    const id = random.chance(0.2) ? `again-${random.below(4)}` : `id-${n}`
    const partition = n % PARTITIONS
    all.push({
      // A commit that was late may have overtaken the last one: another one sets it right.
      at: n < PARTITIONS * (RECORDS_PER_PARTITION - 1) ? n * 80 + random.below(200) : HEALED_MS + 1000,
      record: { partition, key: textBytes(`k${random.below(4)}`), value, headers: [header('ce_id', id)] },
    })
  }
  return all
}
