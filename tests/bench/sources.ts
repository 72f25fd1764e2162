import { cpus, loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { bytesText } from '@mesh/shared/core/record'
import { refinedTopic } from '@mesh/shared/core/topics'
import type { KafkaPort } from '@mesh/shared/kafka/port'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { type CdcWorld, startCdcWorld } from '../cdc/cdc-world.ts'
import { quantile } from './table.ts'

export type SourcesBench = {
  readonly changes: number
  readonly cores: number
  readonly cpu: string
  /** One minute's average before each run. */
  readonly runs: readonly { readonly load: number; readonly mesh: number; readonly plain: number }[]
  /** ms from the answer to a commit to the record that a reader of committed records sees. */
  readonly latencies: readonly {
    readonly what: string
    readonly p50: number
    readonly p99: number
    readonly load: number
  }[]
}

export type SourcesBenchOptions = {
  readonly changes: number
  readonly repeats: number
  readonly say: (text: string) => void
}

const ROWS_PER_COMMIT = 1000
const SINGLES = 200
const SINGLE_PAUSE_MS = 50
const PLAIN_TOPIC = 'plain.public.plain'
const RAW_TOPIC = 'raw.bench.v1'
const READER_ATTEMPTS = 3

/**
 * Change capture from PostgreSQL by the mesh's connector (exactly once) and, in the same run on the same worker, by a plain Debezium connector
 * (at least once) into its own topic. While one is measured the other is paused.
 */
export async function benchSources({ changes, repeats, say }: SourcesBenchOptions): Promise<SourcesBench> {
  const world = await startCdcWorld({
    services: ['replayer', 'ingest-gateway', 'enricher'],
    fields: [{ name: 'note', type: ['null', 'string'] }],
  })
  try {
    await world.sql('create table bench (id bigint primary key, note text)')
    await world.sql('create table plain (id bigint primary key, note text)')
    world.source('bench')
    await world.stream('bench', 'bench', 'public.bench')
    await world.report('bench', ({ state }) => state === 'running', 'to run')
    await startPlain(world)
    const runs: SourcesBench['runs'][number][] = []
    for (let repeat = 0; repeat < repeats; repeat++) {
      const load = loadavg()[0] ?? 0
      await onlyMesh(world)
      const mesh = await rate(world, { table: 'bench', topic: RAW_TOPIC, repeat, changes })
      await onlyPlain(world)
      const plain = await rate(world, { table: 'plain', topic: PLAIN_TOPIC, repeat, changes })
      say(
        `run ${repeat + 1} of ${repeats}: mesh ${mesh} changes/s, plain Debezium ${plain} changes/s, load ${load.toFixed(1)}`,
      )
      runs.push({ load, mesh, plain })
    }
    const latencies = [
      await latency(world, { table: 'plain', topic: PLAIN_TOPIC, what: 'plain Debezium, its own topic' }),
    ]
    await onlyMesh(world)
    latencies.push(await latency(world, { table: 'bench', topic: RAW_TOPIC, what: 'mesh, raw topic' }))
    const refined = refinedTopic('bench', 1)
    latencies.push(await latency(world, { table: 'bench', topic: refined, what: 'mesh, refined topic' }))
    return { changes, cores: cpus().length, cpu: cpus()[0]?.model.trim() ?? 'unknown', runs, latencies }
  } finally {
    await world.stop()
  }
}

export function renderSources({ changes, cores, cpu, runs, latencies }: SourcesBench): string {
  return [
    `${cores} cores (${cpu}); ${changes.toLocaleString('en-US')} inserts of 100 bytes, ${ROWS_PER_COMMIT} a transaction.`,
    '',
    '| run | load before | mesh (exactly once) | plain Debezium | ratio |',
    '|---|--:|--:|--:|--:|',
    ...runs.map(
      ({ load, mesh, plain }, i) =>
        `| ${i + 1} | ${load.toFixed(1)} | ${mesh.toLocaleString('en-US')} changes/s | ${plain.toLocaleString('en-US')} changes/s | ${(mesh / plain).toFixed(2)} |`,
    ),
    '',
    `| commit answered → seen by a reader of committed records, ${SINGLES} single inserts | p50 | p99 | load |`,
    '|---|--:|--:|--:|',
    ...latencies.map(
      ({ what, p50, p99, load }) => `| ${what} | ${Math.round(p50)} ms | ${Math.round(p99)} ms | ${load.toFixed(1)} |`,
    ),
  ].join('\n')
}

async function onlyMesh(world: CdcWorld): Promise<void> {
  await plainTo(world, 'pause', 'PAUSED')
  await world.ask('POST', '/v1/sources/bench/resume')
  await world.report('bench', ({ state }) => state === 'running', 'to run')
}

async function onlyPlain(world: CdcWorld): Promise<void> {
  await world.ask('POST', '/v1/sources/bench/pause')
  await world.report('bench', ({ state }) => state === 'paused', 'to pause')
  await plainTo(world, 'resume', 'RUNNING')
}

async function plainTo({ stack }: CdcWorld, action: 'pause' | 'resume', state: string): Promise<void> {
  const url = `${stack.addresses.connectUrl}/connectors/plain`
  await fetch(`${url}/${action}`, { method: 'PUT' })
  await plainIs(url, state)
}

function plainIs(url: string, state: string): Promise<true> {
  return waitFor(
    async () => {
      const status = (await (await fetch(`${url}/status`)).json()) as { tasks?: { state: string }[] }
      return status.tasks?.[0]?.state === state ? (true as const) : null
    },
    { what: `the plain connector to be ${state}`, timeoutMs: 120_000 },
  )
}

/** Debezium as its documentation has it, at least once, JSON without schemas, no transforms. */
async function startPlain({ stack }: CdcWorld): Promise<void> {
  const config = {
    'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
    'tasks.max': '1',
    'plugin.name': 'pgoutput',
    'database.hostname': '127.0.0.1',
    'database.port': String(stack.ports['postgres']),
    'database.user': 'postgres',
    'database.dbname': 'postgres',
    'topic.prefix': 'plain',
    'slot.name': 'plain',
    'publication.name': 'plain',
    'publication.autocreate.mode': 'filtered',
    'table.include.list': 'public\\.plain',
    'poll.interval.ms': '50',
    'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
    'key.converter.schemas.enable': 'false',
    'topic.creation.default.replication.factor': '1',
    'topic.creation.default.partitions': '3',
  }
  const url = `${stack.addresses.connectUrl}/connectors/plain`
  await fetch(`${url}/config`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(config),
  })
  await plainIs(url, 'RUNNING')
}

type Measured = { readonly table: string; readonly topic: string }

/** From the first commit to the last record. */
async function rate(
  { sql, kafka }: CdcWorld,
  { table, topic, repeat, changes }: Measured & { repeat: number; changes: number },
): Promise<number> {
  // The first record makes the plain topic, and is behind whatever happened while the connector was paused.
  await sql(`insert into ${table} values (${-1 - repeat}, 'first')`)
  await waitFor(async () => ((await kafka.admin.listTopics()).includes(topic) ? true : null), {
    what: `topic ${topic}`,
    timeoutMs: 60_000,
  })
  const seen = new Set<string>()
  const follower = await watch(kafka, { topic, from: 'start' }, (key) => seen.add(key))
  const before = repeat * (changes + 1) + 1
  const arrived = (count: number): Promise<true> =>
    follower.until(() => seen.size >= count, {
      what: `${count} records on ${topic}`,
      timeoutMs: 600_000,
      everyMs: 10,
      progress: () => String(seen.size),
    })
  await arrived(before)
  const from = repeat * changes
  const startedAt = performance.now()
  for (let at = 0; at < changes; at += ROWS_PER_COMMIT) {
    await sql(`insert into ${table} select n, repeat('x', 100) from generate_series($1::int, $2::int) n`, [
      from + at,
      from + Math.min(at + ROWS_PER_COMMIT, changes) - 1,
    ])
  }
  await arrived(before + changes)
  const seconds = (performance.now() - startedAt) / 1000
  await follower.stop()
  return Math.round(changes / seconds)
}

let nextId = 1_000_000_000

async function latency(
  { sql, kafka }: CdcWorld,
  { table, topic, what }: Measured & { what: string },
): Promise<SourcesBench['latencies'][number]> {
  const load = loadavg()[0] ?? 0
  const seenAt = new Map<string, number>()
  const follower = await watch(kafka, { topic, from: 'end' }, (key) => seenAt.set(idOf(key), performance.now()))
  const committedAt = new Map<string, number>()
  for (let i = 0; i < SINGLES; i++) {
    const id = nextId++
    await sql(`insert into ${table} values ($1, null)`, [id])
    committedAt.set(String(id), performance.now())
    await delay(SINGLE_PAUSE_MS)
  }
  const missing = (): number => [...committedAt.keys()].filter((id) => !seenAt.has(id)).length
  await follower.until(() => missing() === 0, {
    what: `every single insert on ${topic}`,
    timeoutMs: 120_000,
    progress: () => `${missing()} are missing`,
  })
  await follower.stop()
  // A record may be seen before the commit's answer is.
  const waits = [...committedAt].map(([id, at]) => Math.max(0, seenAt.get(id)! - at))
  return { what, p50: quantile(waits, 0.5), p99: quantile(waits, 0.99), load }
}

type Watch = {
  until(done: () => boolean, options: Parameters<typeof waitFor>[1]): Promise<true>
  stop(): Promise<void>
}

/** Tells the key of every record of a topic. A reader that breaks before it has caught up is replaced, later it ends the run. */
async function watch(
  kafka: KafkaPort,
  { topic, from }: { topic: string; from: 'start' | 'end' },
  onKey: (key: string) => void,
): Promise<Watch> {
  for (let attempt = 1; ; attempt++) {
    const broken = Promise.withResolvers<never>()
    broken.promise.catch(() => undefined)
    const follower = await kafka.follow(topic, {
      from,
      onFatal: broken.reject,
      onBatch(batch) {
        for (const { key } of batch.records) if (key !== null) onKey(bytesText(key))
      },
    })
    try {
      await Promise.race([follower.caughtUp, broken.promise])
      return {
        until: (done, options) =>
          Promise.race([waitFor(() => Promise.resolve(done() ? (true as const) : null), options), broken.promise]),
        stop: () => follower.stop(),
      }
    } catch (error) {
      await follower.stop().catch(() => undefined)
      if (attempt === READER_ATTEMPTS) throw error
    }
  }
}

/** The plain connector's keys are JSON. */
const idOf = (key: string): string => (key.startsWith('{') ? String((JSON.parse(key) as { id: number }).id) : key)
