import { cpus, loadavg } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { refinedTopic } from '@mesh/shared/core/topics'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { type CdcWorld, startCdcWorld } from '../cdc/cdc-world.ts'

/**
 * Change capture from PostgreSQL: changes per second from the first commit to the last record that a reader of committed records sees, by
 * the mesh's connector and, in the same run, by a plain Debezium connector into its own topic; and from an insert being sent to its refined record.
 *   node tests/bench/sources.ts [changes] [repeats]
 */
const CHANGES = Number(process.argv[2] ?? 50_000)
const REPEATS = Number(process.argv[3] ?? 3)
const SINGLES = 200
const PLAIN_TOPIC = 'plain.public.plain'

const world = await startCdcWorld({ services: ['replayer', 'ingest-gateway', 'enricher'] })
try {
  await world.sql('create table bench (id bigint primary key, note text)')
  await world.sql('create table plain (id bigint primary key, note text)')
  world.source('bench')
  await world.stream('bench', 'bench', 'public.bench')
  await world.report('bench', ({ state }) => state === 'running', 'to run')
  await startPlain(world)
  console.log(
    `${cpus().length} cores, load ${loadavg()
      .map((load) => load.toFixed(1))
      .join(' ')}, ${CHANGES} changes`,
  )
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const mesh = await rate(world, 'bench', 'raw.bench.v1', repeat)
    const plain = await rate(world, 'plain', PLAIN_TOPIC, repeat)
    console.log(
      `run ${repeat + 1}: mesh ${mesh} changes/s, plain Debezium ${plain} changes/s, ratio ${(mesh / plain).toFixed(2)}`,
    )
  }
  const [p50, p99] = await latency(world)
  console.log(`insert sent → refined record, ${SINGLES} single inserts: p50 ${p50} ms, p99 ${p99} ms`)
} finally {
  await world.stop()
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
  await waitFor(
    async () => {
      const status = (await (await fetch(`${url}/status`)).json()) as { tasks?: { state: string }[] }
      return status.tasks?.[0]?.state === 'RUNNING' ? true : null
    },
    { what: 'the plain connector to run', timeoutMs: 120_000 },
  )
}

async function rate({ sql, kafka }: CdcWorld, table: string, topic: string, repeat: number): Promise<number> {
  // The first record makes the plain topic.
  await sql(`insert into ${table} values (${-1 - repeat}, 'first')`)
  await waitFor(async () => ((await kafka.admin.listTopics()).includes(topic) ? true : null), {
    what: `topic ${topic}`,
    timeoutMs: 60_000,
  })
  let seen = 0
  const follower = await kafka.follow(topic, {
    from: 'start',
    onFatal: (error) => {
      throw error
    },
    onBatch: (batch) => {
      seen += batch.records.length
    },
  })
  const before = repeat * (CHANGES + 1) + 1
  const arrived = (count: number): Promise<true> =>
    waitFor(() => Promise.resolve(seen >= count ? (true as const) : null), {
      what: `${count} records on ${topic}`,
      timeoutMs: 600_000,
      everyMs: 10,
      progress: () => String(seen),
    })
  await arrived(before)
  const from = repeat * CHANGES
  const startedAt = performance.now()
  for (let at = 0; at < CHANGES; at += 1000) {
    await sql(`insert into ${table} select n, repeat('x', 100) from generate_series($1::int, $2::int) n`, [
      from + at,
      from + at + 999,
    ])
  }
  await arrived(before + CHANGES)
  const seconds = (performance.now() - startedAt) / 1000
  await follower.stop()
  return Math.round(CHANGES / seconds)
}

async function latency({ sql, kafka }: CdcWorld): Promise<[number, number]> {
  const waits: number[] = []
  const sentAt = new Map<string, number>()
  const follower = await kafka.follow(refinedTopic('bench', 1), {
    from: 'end',
    onFatal: (error) => {
      throw error
    },
    onBatch(batch) {
      for (const { key } of batch.records) {
        const at = key === null ? undefined : sentAt.get(Buffer.from(key).toString())
        if (at !== undefined) waits.push(performance.now() - at)
      }
    },
  })
  await follower.caughtUp
  for (let i = 0; i < SINGLES; i++) {
    const id = 1_000_000_000 + i
    sentAt.set(String(id), performance.now())
    await sql('insert into bench values ($1, null)', [id])
    await delay(50)
  }
  await waitFor(() => Promise.resolve(waits.length >= SINGLES ? true : null), {
    what: 'every single insert to be refined',
    timeoutMs: 120_000,
    progress: () => String(waits.length),
  })
  await follower.stop()
  const sorted = waits.sort((a, b) => a - b)
  const at = (share: number): number =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!)
  return [at(0.5), at(0.99)]
}
