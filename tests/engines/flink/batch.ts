import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RecordToSend } from '@mesh/shared/core/record'
import type { Run, RunsResponse } from '@mesh/shared/core/runs'
import { createAvroCodec } from '@mesh/shared/schema/avro-codec'
import { createSchemaRegistry } from '@mesh/shared/schema/registry'
import { queryFiles } from '@mesh/shared/warehouse/duckdb-reader'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { callJson } from '../../packages/cli/src/http-json.ts'
import { installFlink } from '../../packages/cli/src/stack/flink.ts'
import { type FlinkCluster, startFlinkCluster } from '../../packages/cli/src/stack/flink-cluster.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { MeshUnderTest } from '../e2e/mesh-under-test.ts'
import { CACHE, differences, postFlights, ROOT, settle, startDemoMesh } from './demo-mesh.ts'
import { everyRun, putJob } from './run-job.ts'

const REFINED = 'refined.flights.v1'
const TOPIC = 'refined.origin-delays.v1'
const COPIES = 'flight-copies'
const INPUTS = 'inputs: [{ stream: flights, layer: silver }]'
const STATE = mkdtempSync(join(tmpdir(), 'mesh-flink-'))

let cluster: FlinkCluster
let mesh: MeshUnderTest

beforeAll(async () => {
  const installation = await installFlink({
    folder: join(ROOT, 'transforms', 'flink'),
    cache: CACHE,
    env: process.env,
    onProgress: (text) => console.log(`flink ${text}`),
  })
  const startedAt = Date.now()
  cluster = await startFlinkCluster({ ...installation, stateDir: STATE, env: process.env })
  console.log(`flink cluster up in ${seconds(startedAt)}`)
  Object.assign(process.env, { MESH_FLINK_URL: cluster.url, MESH_FLINK_GATEWAY_URL: cluster.gatewayUrl })
  mesh = await startDemoMesh({
    services: ['job-trigger'],
    prepare(projectDir) {
      cpSync(join(ROOT, 'transforms', 'flink'), join(projectDir, 'transforms', 'flink'), { recursive: true })
      mkdirSync(join(projectDir, 'jobs'))
    },
  })
  const config = { 'cleanup.policy': 'compact' }
  await mesh.kafka.admin.ensureTopics([TOPIC, COPIES].map((name) => ({ name, partitions: 3, config })))
})
afterAll(async () => {
  await mesh?.stop()
  await cluster?.stop()
  rmSync(STATE, { recursive: true, force: true })
})

const DAYS = 'origin, "windowStart", flights, late, "delaySum", "delayMax"'
/** DuckDB's own computation over silver, the refined records as the mesh's sink has them. */
const expected = (): string => `SELECT origin, date_trunc('day', departure::TIMESTAMP)::TIMESTAMP AS "windowStart",
  count(*)::BIGINT AS flights, count(*) FILTER (WHERE delay > 15)::BIGINT AS late, sum(delay)::BIGINT AS "delaySum",
  max(delay)::INT AS "delayMax"
  FROM read_parquet('${mesh.lakeDir}/silver/flights/v1/**/*.parquet', union_by_name = true) GROUP BY 1, 2`
const inLake = (run: string): string =>
  `SELECT origin, "windowStart"::TIMESTAMP AS "windowStart", flights, late, "delaySum", "delayMax"
   FROM read_parquet('${mesh.lakeDir}/flink/origin-delays/run=${run}/*')`

test('windows of a run, in the lake and on the topic, are those of DuckDB over the same refined records', async () => {
  putJob(mesh, 'origin-delays', [
    'engine: flink',
    INPUTS,
    'coalesce: { quiet: 1s }',
    'retries: { attempts: 1 }',
    `flink: { sql: transforms/flink/jobs/origin_delays.sql, vars: { topic: ${TOPIC} } }`,
  ])
  const startedAt = Date.now()
  const runs = await everyRun(mesh, 'origin-delays')
  console.log(`flink batch: ${runs.length} run(s) in ${seconds(startedAt)}`)
  const { rows } = await queryFiles(`SELECT count(*)::INT AS n FROM (${expected()})`)
  expect(await differences(inLake(runs[0]!.id), expected())).toEqual({ left: 0, right: 0, rows: Number(rows[0]!['n']) })
  expect(await differences(await onTopic(), expected())).toMatchObject({ left: 0, right: 0 })
  expect(runs[0]!.result!.outputs).toMatchObject([{ name: 'delays_topic' }, { name: 'delays_lake' }])
})

test('what comes later is a run of its own that tells the touched days anew; a record sent again is counted once', async () => {
  await sendAgain()
  await postFlights(mesh, 500, 2000)
  await settle(mesh)
  const first = new Set(readdirSync(join(mesh.lakeDir, 'flink', 'origin-delays')))
  await everyRun(mesh, 'origin-delays')
  const later = readdirSync(join(mesh.lakeDir, 'flink', 'origin-delays')).filter((name) => !first.has(name))
  expect(later.length).toBeGreaterThan(0)
  expect(await differences(await onTopic(), expected())).toMatchObject({ left: 0, right: 0 })
  const { rows } = await queryFiles(
    `SELECT count(*)::INT AS n FROM (${inLake(later[0]!.slice('run='.length))})
     WHERE ("origin", "windowStart") NOT IN (SELECT (origin, "windowStart") FROM (${expected()}))`,
  )
  expect(rows[0]!['n']).toBe(0)
})

test('a task manager killed in the middle: read_committed shows every record once', async () => {
  putScript('copies.sql', copies(40))
  putJob(mesh, 'copies', ['engine: flink', INPUTS, 'retries: { attempts: 1 }', 'flink: { sql: copies.sql }'])
  const run = await runningOf('copies')
  await written(run)
  cluster.taskManager.kill('SIGKILL')
  await cluster.taskManager.exited
  await cluster.startTaskManager()
  const [done] = await everyRun(mesh, 'copies')
  expect(done).toMatchObject({ id: run.id, attempt: 1 })
  const keys = await keysOf(COPIES)
  expect(keys.length).toBe(new Set(keys).size)
  const { rows } = await queryFiles(
    `SELECT count(*)::INT AS n FROM read_parquet('${mesh.lakeDir}/silver/flights/v1/**/*.parquet', union_by_name = true)`,
  )
  expect(keys.length).toBe(Number(rows[0]!['n']) * 40)
})

/** A record of the refined topic once more, as an enricher does that was killed before its commit. */
async function sendAgain(): Promise<void> {
  const [offsets] = (await mesh.kafka.admin.offsets(REFINED)).filter(({ highWatermark }) => highWatermark > 0)
  const { partition, highWatermark } = offsets!
  const records: RecordToSend[] = []
  await mesh.kafka.readRanges(REFINED, [{ partition, from: 0, to: highWatermark }], (batch) => {
    for (const { key, value, headers, timestamp } of batch.records) {
      records.push({ partition, key, value, headers, timestamp })
    }
  })
  const producer = await mesh.kafka.producer()
  await producer.send(REFINED, [records.at(-1)!])
  await producer.close()
}

/** The newest record of every key, as a query for DuckDB. */
async function onTopic(): Promise<string> {
  const codec = createAvroCodec(createSchemaRegistry({ url: mesh.stack.addresses.registryUrl }))
  const newest = new Map<string, unknown>()
  for (const { key, value } of await recordsOf(TOPIC)) newest.set(key, (await codec.decode(value!)).record)
  const file = join(STATE, `topic-${newest.size}-${Date.now()}.json`)
  writeFileSync(file, JSON.stringify([...newest.values()]))
  return `SELECT ${DAYS} FROM (SELECT origin, "windowStart"::TIMESTAMP AS "windowStart", flights::BIGINT AS flights, late::BIGINT AS late,
    "delaySum"::BIGINT AS "delaySum", "delayMax"::INT AS "delayMax" FROM read_json('${file}'))`
}

async function recordsOf(topic: string): Promise<{ key: string; value: Uint8Array | null }[]> {
  const found: { key: string; value: Uint8Array | null }[] = []
  const offsets = await mesh.kafka.admin.offsets(topic)
  const ranges = offsets.map(({ partition, lastStableOffset }) => ({ partition, from: 0, to: lastStableOffset }))
  await mesh.kafka.readRanges(topic, ranges, (batch) => {
    for (const { key, value } of batch.records) found.push({ key: Buffer.from(key!).toString('utf8'), value })
  })
  return found
}

const keysOf = async (topic: string): Promise<string[]> => (await recordsOf(topic)).map(({ key }) => key)

const copiesTable = (): string =>
  `CREATE TEMPORARY TABLE copies (\`key\` STRING NOT NULL, \`text\` STRING) WITH ('connector' = 'kafka', 'topic' = '${COPIES}', 'properties.bootstrap.servers' = '\${mesh.brokers}', 'properties.transaction.timeout.ms' = '600000', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '\${mesh.job}', 'key.format' = 'raw', 'key.fields' = 'key', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY');`

/** Every flight `times` times under keys of its own, slowly enough to be interrupted. */
const copies = (times: number): string => `${copiesTable()}
INSERT INTO copies SELECT CONCAT(\`id\`, '/', CAST(n AS STRING)), REPEAT(\`id\`, 200) FROM flights_all
CROSS JOIN UNNEST(ARRAY[${Array.from({ length: times }, (_, i) => i).join(', ')}]) AS t (n);`

function putScript(name: string, text: string): void {
  writeFileSync(join(mesh.projectDir, name), text)
}

const runsOf = async (job: string): Promise<readonly Run[]> =>
  (await callJson<RunsResponse>(`${mesh.stack.addresses.services['job-trigger']}/v1/runs?job=${job}`)).runs

const runningOf = (job: string): Promise<Run> =>
  waitFor(async () => (await runsOf(job)).find(({ state }) => state === 'running') ?? null, {
    what: `${job} to run`,
    timeoutMs: 120_000,
  })

type FlinkJob = { readonly jid: string; readonly name: string; readonly state: string }
const flinkJobs = async (): Promise<readonly FlinkJob[]> =>
  (await callJson<{ jobs: readonly FlinkJob[] }>(`${cluster.url}/jobs/overview`)).jobs

/** Until a task of the run has read something and the job has not ended. */
async function written(run: Run): Promise<void> {
  type Vertices = { readonly vertices: readonly { readonly metrics: Record<string, number> }[] }
  await waitFor(
    async () => {
      const job = (await flinkJobs()).find(({ name }) => name === `${run.id}.1`)
      if (!job) return null
      if (job.state === 'FINISHED') throw new Error('the job was over before it could be interrupted')
      const { vertices } = await callJson<Vertices>(`${cluster.url}/jobs/${job.jid}`)
      return vertices.some(({ metrics }) => (metrics['read-records'] ?? 0) > 0) ? true : null
    },
    { what: 'the job to write', timeoutMs: 120_000, everyMs: 50 },
  )
}

const seconds = (since: number): string => `${((Date.now() - since) / 1000).toFixed(1)} s`
