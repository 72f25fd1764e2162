import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import type { RecordToSend } from '@mesh/shared/core/record'
import type { Run } from '@mesh/shared/core/runs'
import { queryFiles } from '@mesh/shared/warehouse/duckdb-reader'
import { describe, expect, test } from 'vitest'
import { callJson } from '../../../packages/cli/src/http-json.ts'
import { waitFor } from '../../../packages/cli/src/wait-for.ts'
import { differences, postFlights, settle } from '../demo-mesh.ts'
import { everyRun, putJob } from '../run-job.ts'
import { COPIES, DELAYS, type FlinkWorld, INPUTS, REFINED, seconds, silver } from './world.ts'

const COLUMNS = 'origin, "windowStart", flights, late, "delaySum", "delayMax"'

/** Bounded runs over the offsets of commit events. */
export function batchTests(world: () => FlinkWorld): void {
  /** DuckDB's own computation over silver. */
  const expected = (): string => `SELECT origin, date_trunc('day', departure::TIMESTAMP)::TIMESTAMP AS "windowStart",
    count(*)::BIGINT AS flights, count(*) FILTER (WHERE delay > 15)::BIGINT AS late, sum(delay)::BIGINT AS "delaySum",
    max(delay)::INT AS "delayMax"
    FROM ${silver(world().mesh)} GROUP BY 1, 2`
  const folder = (): string => join(world().mesh.lakeDir, 'flink', 'origin-delays')
  const inLake = (run: string): string =>
    `SELECT origin, "windowStart"::TIMESTAMP AS "windowStart", flights, late, "delaySum", "delayMax"
     FROM read_parquet('${folder()}/run=${run}/*')`
  /** The newest record of every key, as a query for DuckDB. */
  const onTopic = async (): Promise<string> =>
    `SELECT ${COLUMNS} FROM (SELECT origin, "windowStart"::TIMESTAMP AS "windowStart", flights::BIGINT AS flights, late::BIGINT AS late,
      "delaySum"::BIGINT AS "delaySum", "delayMax"::INT AS "delayMax" FROM read_json('${await world().rowsFile(DELAYS, 'newest')}'))`

  describe('batch', () => {
    test('windows of a run, in the lake and on the topic, are those of DuckDB over the same refined records', async () => {
      const { mesh } = world()
      putJob(mesh, 'origin-delays', [
        'engine: flink',
        INPUTS,
        'coalesce: { quiet: 1s }',
        'retries: { attempts: 1 }',
        `flink: { sql: transforms/flink/jobs/origin_delays.sql, vars: { topic: ${DELAYS} } }`,
      ])
      const startedAt = Date.now()
      const runs = await everyRun(mesh, 'origin-delays')
      console.log(`flink batch: ${runs.length} run(s) in ${seconds(startedAt)}`)
      const { rows } = await queryFiles(`SELECT count(*)::INT AS n FROM (${expected()})`)
      expect(await differences(inLake(runs[0]!.id), expected())).toEqual({
        left: 0,
        right: 0,
        rows: Number(rows[0]!['n']),
      })
      expect(await differences(await onTopic(), expected())).toMatchObject({ left: 0, right: 0 })
      expect(runs[0]!.result!.outputs).toMatchObject([{ name: 'delays_topic' }, { name: 'delays_lake' }])
    })

    test('what comes later is a run of its own that tells the touched days anew; a record sent again is counted once', async () => {
      const { mesh } = world()
      await sendAgain(world())
      await postFlights(mesh, 500, 2000)
      await settle(mesh)
      const first = new Set(readdirSync(folder()))
      await everyRun(mesh, 'origin-delays')
      const later = readdirSync(folder()).filter((name) => !first.has(name))
      expect(later.length).toBeGreaterThan(0)
      expect(await differences(await onTopic(), expected())).toMatchObject({ left: 0, right: 0 })
      const { rows } = await queryFiles(
        `SELECT count(*)::INT AS n FROM (${inLake(later[0]!.slice('run='.length))})
         WHERE ("origin", "windowStart") NOT IN (SELECT (origin, "windowStart") FROM (${expected()}))`,
      )
      expect(rows[0]!['n']).toBe(0)
    })

    test('a task manager and the job-trigger killed in the middle: one Flink job, and read_committed shows every record once', async () => {
      const { mesh, cluster } = world()
      world().putScript('copies.sql', copies(40))
      putJob(mesh, 'copies', ['engine: flink', INPUTS, 'retries: { attempts: 1 }', 'flink: { sql: copies.sql }'])
      const run = await world().until('copies', 'runs', ({ state }) => state === 'running')
      await written(world(), run)
      expect(mesh.stack.kill('job-trigger', 'SIGKILL')).toBe(true)
      world().cluster.taskManager.kill('SIGKILL')
      await cluster.taskManager.exited
      await cluster.startTaskManager()
      const done = await world().until('copies', 'ends', ({ state }) => state === 'succeeded')
      expect(done).toMatchObject({ id: run.id, attempt: 1 })
      expect((await world().jobs()).filter(({ name }) => name.startsWith(run.id))).toHaveLength(1)
      const keys = (await world().records(COPIES)).map(({ key }) => key)
      expect(keys.length).toBe(new Set(keys).size)
      const { rows } = await queryFiles(`SELECT count(*)::INT AS n FROM ${silver(mesh)}`)
      expect(keys.length).toBe(Number(rows[0]!['n']) * 40)
    })
  })
}

/** A record of the refined topic once more, as an enricher does that was killed before its commit. */
export async function sendAgain({ mesh }: FlinkWorld): Promise<void> {
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

export const copiesTable = (): string =>
  `CREATE TEMPORARY TABLE copies (\`key\` STRING NOT NULL, \`text\` STRING) WITH ('connector' = 'kafka', 'topic' = '${COPIES}', 'properties.bootstrap.servers' = '\${mesh.brokers}', 'properties.transaction.timeout.ms' = '600000', 'sink.delivery-guarantee' = 'exactly-once', 'sink.transactional-id-prefix' = '\${mesh.job}', 'key.format' = 'raw', 'key.fields' = 'key', 'value.format' = 'raw', 'value.fields-include' = 'EXCEPT_KEY');`

/** Every flight `times` times under keys of its own, slowly enough to be interrupted. */
const copies = (times: number): string => `${copiesTable()}
INSERT INTO copies SELECT CONCAT(\`id\`, '/', CAST(n AS STRING)), REPEAT(\`id\`, 200) FROM flights_all
CROSS JOIN UNNEST(ARRAY[${Array.from({ length: times }, (_, i) => i).join(', ')}]) AS t (n);`

/** Until a task of the run has read something and the job has not ended. */
async function written({ cluster, jobs }: FlinkWorld, run: Run): Promise<void> {
  type Vertices = { readonly vertices: readonly { readonly metrics: Record<string, number> }[] }
  await waitFor(
    async () => {
      const job = (await jobs()).find(({ name }) => name === `${run.id}.1`)
      if (!job) return null
      if (job.state === 'FINISHED') throw new Error('the job was over before it could be interrupted')
      const { vertices } = await callJson<Vertices>(`${cluster.url}/jobs/${job.jid}`)
      return vertices.some(({ metrics }) => (metrics['read-records'] ?? 0) > 0) ? true : null
    },
    { what: 'the job to write', timeoutMs: 120_000, everyMs: 50 },
  )
}
