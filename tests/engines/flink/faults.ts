import { rmSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { putJob } from '../run-job.ts'
import { copiesTable } from './batch.ts'
import { asked, STREAMING } from './streaming.ts'
import { type FlinkWorld, INPUTS } from './world.ts'

/** What goes wrong in one job, while another one streams. */
export function faultTests(world: () => FlinkWorld): void {
  describe('faults', () => {
    test('SQL that Flink refuses is a failed attempt with file and line', async () => {
      const { mesh, putScript, until } = world()
      putScript('refused.sql', `${copiesTable()}\n\nINSERT INTO copies\nSELECT id, nobody FROM flights;\n`)
      putJob(mesh, 'refused', ['engine: flink', INPUTS, 'retries: { attempts: 1 }', 'flink: { sql: refused.sql }'])
      const run = await until('refused', 'is dead', ({ state }) => state === 'dead')
      expect(run).toMatchObject({ attempt: 1, error: { code: 'MESH_JOB_FAILED' } })
      expect(run.error!.message).toMatch(/^refused\.sql:3: .*nobody/)
    })

    test('a vector that always fails goes dead after its retries; what streams is not touched', async () => {
      const { mesh, putScript, until, jobs, runs } = world()
      const [before] = await runs(STREAMING)
      putScript(
        'poison.sql',
        `${copiesTable()}\nINSERT INTO copies SELECT id, CAST(1 / (CHAR_LENGTH(origin) - 3) AS STRING) FROM flights;\n`,
      )
      putJob(mesh, 'poison', [
        'engine: flink',
        INPUTS,
        'retries: { attempts: 2, backoff: 1s }',
        "flink: { sql: poison.sql, conf: { restart-strategy.type: 'none' } }",
      ])
      const run = await until('poison', 'is dead', ({ state }) => state === 'dead')
      expect(run).toMatchObject({ attempt: 2, failures: 2, error: { message: expect.stringMatching(/by zero/) } })
      const tried = (await jobs()).filter(({ name }) => name.startsWith(`${run.id}.`))
      expect(tried.map(({ name, state }) => [name, state]).sort()).toEqual([
        [`${run.id}.1`, 'FAILED'],
        [`${run.id}.2`, 'FAILED'],
      ])
      const [after] = await runs(STREAMING)
      expect(after).toMatchObject({ id: before!.id, state: 'running', attempt: before!.attempt, failures: 0 })
    })

    test('a savepoint that is gone is a failed attempt with the reason of Flink, not a beginning from the start', async () => {
      const { until, jobs } = world()
      await asked(world(), 'stop')
      const stopped = await until(STREAMING, 'is stopped', ({ state }) => state === 'stopped')
      rmSync(fileURLToPath(stopped.streaming!.recoverFrom!), { recursive: true })
      await asked(world(), 'resume')
      const failed = await until(STREAMING, 'fails', ({ failures }) => failures > 0)
      expect(failed.error!.message).toMatch(/savepoint|_metadata/i)
      await asked(world(), 'stop')
      await until(STREAMING, 'is stopped', ({ state }) => state === 'stopped')
      const running = (await jobs()).filter(({ name, state }) => name.startsWith(STREAMING) && state === 'RUNNING')
      expect(running).toEqual([])
    })
  })
}
