import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { queryWarehouse } from '@mesh/shared/warehouse/duckdb-reader'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import type { Execution, ExecutionStatus } from '../../services/job-trigger/src/core/ports.ts'
import type { StreamInput } from '../../services/job-trigger/src/core/run-input.ts'
import { executionOf } from '../../services/job-trigger/test/support/engine-contract.ts'
import { job } from '../../services/job-trigger/test/support/jobs.ts'
import { createDbtWorld, type DbtWorld } from './dbt-world.ts'
import { type LandingFile, over, withFile } from './landing-file.ts'

/** The real dbt over landing files as the warehouse-sink makes them, through the engine that job-trigger has. */
describe('dbt over a vector', () => {
  let world: DbtWorld
  let landing: LandingFile

  beforeAll(async () => {
    world = await createDbtWorld(inject('stackCache'))
    landing = world.landing
  })
  afterAll(() => world?.close())

  const flight = (origin: string, day: string, delay: number) => ({
    key: origin,
    values: {
      id: `${origin}-${day}-${delay}`,
      flightDate: day,
      departure: `${day} 06:00:00`,
      delay,
      distance: 300,
      origin,
      destination: 'SFO',
    },
  })
  const airport = (iata: string, name: string | null) => ({
    key: iata,
    values: name === null ? null : { iata, name, country: 'USA', latitude: 1, longitude: 2 },
  })

  async function runOver(
    streams: Readonly<Record<string, StreamInput>>,
    select: readonly string[],
  ): Promise<ExecutionStatus> {
    const execution = executionOf(job({ name: 'gold', engine: 'dbt', options: { select } }))
    return settled({ ...execution, input: { ...execution.input, streams } })
  }

  const settled = (execution: Execution): Promise<ExecutionStatus> => world.settled(execution)
  const gold = async (sql: string): Promise<unknown[]> => [...(await queryWarehouse(world.goldFile, sql)).rows]
  const days = (): Promise<unknown[]> =>
    gold(
      'select origin, cast(flight_date as varchar) as day, flights, avg_delay from daily_airport_delays order by 1, 2',
    )

  test('a run takes its own rows, again or late, and no row beyond what it may read', async () => {
    await landing.append('flights', [
      flight('LAX', '2001-01-01', 10),
      flight('LAX', '2001-01-01', 20),
      flight('SFO', '2001-01-02', 5),
    ])
    const select = ['daily_airport_delays']
    expect(await runOver({ flights: over(0, 2) }, select)).toMatchObject({
      state: 'succeeded',
      result: { outputs: [{ status: 'success' }] },
    })
    expect(await days()).toEqual([{ origin: 'LAX', day: '2001-01-01', flights: '2', avg_delay: 15 }])
    await runOver({ flights: over(2, 3) }, select)
    const all = await days()
    expect(all).toHaveLength(2)
    await runOver({ flights: over(2, 3) }, select)
    expect(await days()).toEqual(all)
    // Late: the day was counted long ago. A dead run that is tried again reads what came since, too.
    await landing.append('flights', [flight('LAX', '2001-01-01', 60)])
    await runOver({ flights: over(3, 4) }, select)
    await runOver({ flights: over(0, 2, 4) }, select)
    expect((await days())[0]).toEqual({ origin: 'LAX', day: '2001-01-01', flights: '3', avg_delay: 30 })
  })

  test('upsert: the newest row of a key counts, a deleted key is gone, and comes back', async () => {
    await landing.append('airports', [airport('LAX', 'Los Angeles'), airport('OLD', 'Old Field')])
    await runOver({ airports: over(0, 2) }, ['airports'])
    await landing.append('airports', [airport('LAX', 'Los Angeles Intl'), airport('OLD', null)])
    await runOver({ airports: over(2, 4) }, ['airports'])
    expect(await gold('select iata, name from airports order by 1')).toEqual([
      { iata: 'LAX', name: 'Los Angeles Intl' },
    ])
    await landing.append('airports', [airport('OLD', 'Old Field again')])
    await runOver({ airports: over(4, 5) }, ['airports'])
    expect(await gold('select iata from airports order by 1')).toEqual([{ iata: 'LAX' }, { iata: 'OLD' }])
  })

  test('a column that breaks its contract fails the run before it writes, with the reason', async () => {
    const before = await days()
    const model = join(world.folder, 'transforms', 'dbt', 'models', 'gold', 'daily_airport_delays.sql')
    const good = readFileSync(model, 'utf8')
    writeFileSync(model, good.replace('cast(count(*) as bigint) as flights', 'cast(count(*) as varchar) as flights'))
    const status = await runOver({ flights: over(0, 4) }, ['daily_airport_delays'])
    expect(status).toMatchObject({
      state: 'failed',
      error: { code: 'MESH_JOB_FAILED', message: expect.stringContaining('daily_airport_delays') },
    })
    expect(await days()).toEqual(before)
    writeFileSync(model, good)
    expect(await runOver({ flights: over(0, 4) }, ['daily_airport_delays'])).toMatchObject({ state: 'succeeded' })
  })

  test('between runs nobody holds the files, and a run waits for who holds landing', async () => {
    const execution = executionOf(job({ name: 'gold', engine: 'dbt', options: { select: ['daily_airport_delays'] } }))
    const whole = { ...execution, input: { ...execution.input, streams: { flights: over(0, 4) } } }
    // Opened for writing, which a process that kept the file open would not allow.
    let ended: Promise<ExecutionStatus> | undefined
    await withFile(world.landingFile, async () => {
      ended = settled(whole)
      await waitFor(
        async () => (existsSync(join(world.folder, 'runs', 'gold', whole.id, 'claim.json')) ? true : null),
        {
          what: 'dbt to take the run up',
          timeoutMs: 120_000,
        },
      )
      expect((await world.engine.status(whole)).state).toBe('running')
    })
    expect(await ended).toMatchObject({ state: 'succeeded' })
  })

  test('a run finds the moment in which gold is free, though somebody reads it nearly all of the time', async () => {
    let ended = false
    const reading = (async () => {
      while (!ended) {
        await withFile(world.goldFile, () => delay(200))
        await delay(4)
      }
    })()
    // dbt-duckdb by itself tries six times in half a minute.
    const status = await runOver({ flights: over(0, 4) }, ['daily_airport_delays']).finally(() => (ended = true))
    await reading
    expect(status).toMatchObject({ state: 'succeeded' })
  })

  test('a killed dbt process is a failed attempt, and the next run has another process', async () => {
    const execution = executionOf(job({ name: 'gold', engine: 'dbt', options: { select: ['daily_airport_delays'] } }))
    const running = settled({ ...execution, input: { ...execution.input, streams: { flights: over(0, 4) } } })
    await waitFor(async () => world.runner.pid(), { what: 'the dbt process', timeoutMs: 120_000, everyMs: 5 })
    process.kill(world.runner.pid()!, 'SIGKILL')
    expect(await running).toMatchObject({
      state: 'failed',
      error: { message: expect.stringContaining('signal SIGKILL') },
    })
    const count = world.started.length
    expect(await runOver({ flights: over(0, 4) }, ['daily_airport_delays'])).toMatchObject({ state: 'succeeded' })
    expect(world.started).toHaveLength(count + 1)
  })

  test('what has a result is not run again, by this process or by the next', async () => {
    const execution = executionOf(job({ name: 'gold', engine: 'dbt', options: { select: ['daily_airport_delays'] } }))
    const whole = { ...execution, input: { ...execution.input, streams: { flights: over(0, 4) } } }
    const first = await settled(whole)
    const ledger = `select count(*) as n from _mesh_runs where execution_id = '${whole.id}'`
    expect(await gold(ledger)).toEqual([{ n: '1' }])
    const next = world.engineOf(null)
    expect(await next.status(whole)).toEqual(first)
    await world.engine.submit(whole)
    expect(await gold(ledger)).toEqual([{ n: '1' }])
  })

  test('without Python a run waits with the reason', async () => {
    await expect(world.engineOf(null).submit(executionOf(job({ name: 'gold', engine: 'dbt' })))).rejects.toMatchObject({
      code: 'MESH_JOB_ENGINE_AWAY',
      message: 'no Python',
    })
  })

  test("the models' own unit tests pass", async () => {
    expect(await world.byHand('test', '--select', 'test_type:unit')).toContain('PASS=')
  })

  test('the same project is read for Snowflake without a connection', async () => {
    const listed = await world.byHand('ls', '--target', 'snowflake', '--resource-type', 'model', '--quiet')
    expect(listed.trim().split('\n').sort()).toEqual([
      'mesh.gold.airports',
      'mesh.gold.daily_airport_delays',
      'mesh.gold.repository_activity',
      'mesh.gold.route_performance',
      'mesh.staging.stg_airports',
      'mesh.staging.stg_flights',
      'mesh.staging.stg_github',
    ])
  })
})
