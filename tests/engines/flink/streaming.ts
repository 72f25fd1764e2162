import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Run } from '@mesh/shared/core/runs'
import { queryFiles } from '@mesh/shared/warehouse/duckdb-reader'
import { describe, expect, test } from 'vitest'
import { callJson } from '../../../packages/cli/src/http-json.ts'
import { waitFor } from '../../../packages/cli/src/wait-for.ts'
import { openFlinkSession } from '../../../services/job-trigger/src/adapters/flink-gateway.ts'
import { flinkJobId } from '../../../services/job-trigger/src/adapters/flink-jobs.ts'
import { differences, postFlights, settle } from '../demo-mesh.ts'
import { putJob } from '../run-job.ts'
import { sendAgain } from './batch.ts'
import { DAYS, type FlinkWorld, INPUTS, seconds, silver } from './world.ts'

export const STREAMING = 'origin-days'
const JOB = STREAMING
/** The demonstration sends some flights of the first days again at the end, under ids of their own. */
const DELAY_DAYS = 15
export const streams = ({ state, streaming }: Run): boolean =>
  state === 'running' && streaming?.engineState === 'RUNNING'

/** `mesh jobs stop` and `mesh jobs resume`. */
export const asked = ({ triggerUrl }: FlinkWorld, action: 'stop' | 'resume'): Promise<Run> =>
  callJson<Run>(`${triggerUrl}/v1/jobs/${JOB}/${action}`, { method: 'POST', body: {} })

export function streamingTests(world: () => FlinkWorld): void {
  const inLake = (run: string): string => `'${world().mesh.lakeDir}/flink/origin-days/run=${run}/part-*'`

  /** Until the lake has as many rows of the run as silver has, and DuckDB finds the same rows in both. */
  async function lakeIsSilver(run: string): Promise<void> {
    const count = async (from: string): Promise<number> =>
      Number((await queryFiles(`SELECT count(*)::INT AS n FROM ${from}`)).rows[0]!['n'])
    const all = await count(silver(world().mesh))
    let rows = 0
    await waitFor(
      async () => {
        // There is no file before the first checkpoint.
        rows = await count(`read_parquet(${inLake(run)})`).catch(() => 0)
        return rows >= all ? true : null
      },
      { what: `${all} rows in the lake`, timeoutMs: 180_000, everyMs: 500, progress: () => `${rows} rows` },
    )
    const columns = 'id, origin, destination, departure::TIMESTAMP AS departure, delay'
    expect(
      await differences(
        `SELECT ${columns} FROM read_parquet(${inLake(run)})`,
        `SELECT ${columns} FROM ${silver(world().mesh)}`,
      ),
    ).toEqual({ left: 0, right: 0, rows: all })
  }

  /** Days that are over: their end is behind the watermark, which is the least of the partitions' newest departures less the delay. */
  const closed = (run: string): string => `SELECT * FROM (
    SELECT origin, date_trunc('day', departure::TIMESTAMP)::TIMESTAMP AS "windowStart", count(*)::BIGINT AS flights,
      count(*) FILTER (WHERE delay > 15)::BIGINT AS late, sum(delay)::BIGINT AS "delaySum", max(delay)::INT AS "delayMax"
    FROM ${silver(world().mesh)} GROUP BY 1, 2)
    WHERE "windowStart" + INTERVAL 1 DAY <= (SELECT min(newest) - INTERVAL ${DELAY_DAYS} DAY FROM (
      SELECT max(departure::TIMESTAMP) AS newest FROM read_parquet(${inLake(run)}) GROUP BY "refinedPartition"))`

  async function daysAreThoseOf(run: string): Promise<number> {
    const { rows } = await queryFiles(`SELECT count(*)::INT AS n FROM (${closed(run)})`)
    const wanted = Number(rows[0]!['n'])
    let found = 0
    await waitFor(
      async () => {
        found = (await world().records(DAYS)).length
        return found >= wanted ? true : null
      },
      { what: `${wanted} days on the topic`, timeoutMs: 120_000, everyMs: 500, progress: () => `${found} days` },
    )
    const keys = (await world().records(DAYS)).map(({ key }) => key)
    expect(keys.length).toBe(new Set(keys).size)
    const onTopic = `SELECT origin, "windowStart"::TIMESTAMP AS "windowStart", flights::BIGINT AS flights, late::BIGINT AS late,
      "delaySum"::BIGINT AS "delaySum", "delayMax"::INT AS "delayMax"
      FROM read_json('${await world().rowsFile(DAYS, 'all')}')`
    expect(await differences(onTopic, closed(run))).toEqual({ left: 0, right: 0, rows: wanted })
    return wanted
  }

  describe('streaming', () => {
    let run: Run

    test('a job-trigger killed between submitting and writing down finds the job again, and Flink refuses a second one', async () => {
      const { mesh, jobs, until, cluster } = world()
      putJob(mesh, JOB, [
        'engine: flink',
        INPUTS,
        'flink:',
        '  sql: transforms/flink/jobs/origin_days_stream.sql',
        '  mode: streaming',
        `  vars: { topic: ${DAYS} }`,
        `  watermarks: { flights: { column: departure, delay: ${DELAY_DAYS}d } }`,
        "  conf: { execution.checkpointing.interval: '2 s' }",
      ])
      const startedAt = Date.now()
      const job = await waitFor(async () => (await jobs()).find(({ name }) => name.startsWith(`${JOB}.`)) ?? null, {
        what: 'the job at the JobManager',
        timeoutMs: 500_000,
        everyMs: 20,
      })
      expect(mesh.stack.kill('job-trigger', 'SIGKILL')).toBe(true)
      run = await until(JOB, 'streams', streams)
      console.log(`flink streaming: RUNNING after ${seconds(startedAt)}, a kill of the job-trigger included`)
      expect(run).toMatchObject({ attempt: 1, streaming: { recoverFrom: null } })
      expect(job).toMatchObject({ name: `${run.id}.1`, jid: flinkJobId(`${run.id}.1`) })

      const session = await openFlinkSession(cluster.gatewayUrl, {
        'execution.runtime-mode': 'STREAMING',
        '$internal.pipeline.job-id': job.jid,
      })
      await session.run("CREATE TEMPORARY TABLE numbers (n INT) WITH ('connector' = 'datagen')")
      await session.run("CREATE TEMPORARY TABLE nowhere (n INT) WITH ('connector' = 'blackhole')")
      await expect(session.run('INSERT INTO nowhere SELECT n FROM numbers')).rejects.toThrow(/already been submitted/)
      await session.close()
      expect((await jobs()).filter(({ name }) => name.startsWith(`${JOB}.`))).toHaveLength(1)
    })

    test('what it writes by checkpoint is what silver has; a record that is sent again is read once', async () => {
      await sendAgain(world())
      await settle(world().mesh)
      await lakeIsSilver(run.id)
      expect(await callJson(`${world().triggerUrl}/readyz`)).toMatchObject({
        streaming: [{ job: JOB, run: run.id, state: 'RUNNING', watched: true }],
      })
    })

    test('stopped with a savepoint in the middle and resumed from it: every day is exact, and nothing is there twice', async () => {
      const { mesh, until, jobs } = world()
      const stoppedAt = Date.now()
      await asked(world(), 'stop')
      const stopped = await until(JOB, 'is stopped', ({ state }) => state === 'stopped')
      console.log(`flink streaming: stopped with a savepoint in ${seconds(stoppedAt)}`)
      const savepoint = stopped.result!.artefacts['savepoint']!
      expect(stopped.streaming!.recoverFrom).toBe(savepoint)
      expect(existsSync(join(fileURLToPath(savepoint), '_metadata'))).toBe(true)
      expect((await jobs()).find(({ name }) => name === `${run.id}.1`)).toMatchObject({ state: 'FINISHED' })

      await postFlights(mesh, 500, 10_000)
      await settle(mesh)
      const resumedAt = Date.now()
      await asked(world(), 'resume')
      run = await until(JOB, 'streams again', streams)
      console.log(`flink streaming: resumed in ${seconds(resumedAt)}`)
      expect(run).toMatchObject({ id: stopped.id, attempt: 2 })
      await lakeIsSilver(run.id)
      const days = await daysAreThoseOf(run.id)
      // Days whose records came before the savepoint, and whose end after it.
      expect(days).toBeGreaterThan(500)
      console.log(`flink streaming: ${days} days on the topic, each once`)
    })
  })
}
