import { execFile } from 'node:child_process'
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { ExecutionStatus } from '../../services/job-trigger/src/core/ports.ts'
import { executionOf } from '../../services/job-trigger/test/support/engine-contract.ts'
import { job } from '../../services/job-trigger/test/support/jobs.ts'
import { createDbtWorld, type DbtWorld } from './dbt-world.ts'
import { over, withFile } from './landing-file.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const DAY = 86_400

type Sources = { readonly results: readonly { readonly unique_id: string; readonly status: string }[] }

/** What dbt says of the landing tables: how fresh they are, and what is built on them. */
describe('dbt over its sources', () => {
  let world: DbtWorld

  beforeAll(async () => {
    world = await createDbtWorld(inject('stackCache'))
    // The command finds dbt where this run has installed it.
    symlinkSync(inject('stackCache'), join(world.folder, 'cache'))
    cpSync(join(ROOT, 'streams'), join(world.folder, 'streams'), { recursive: true })
  })
  afterAll(() => world?.close())

  /** The warehouse-sink's last transaction of the stream was this long ago. */
  const written = (stream: string, secondsAgo: number): Promise<void> =>
    withFile(world.landingFile, async (run) => {
      await run(`INSERT OR REPLACE INTO _mesh_ledger VALUES
        ('${stream}', 1, 'topic', 0, 0, 1, '{}', '', '{}', 0, NULL, NULL, now() - INTERVAL ${secondsAgo} SECOND)`)
    })

  const freshness = (...streams: string[]): Promise<ExecutionStatus> => {
    const inputs = streams.map((stream) => ({ stream, layer: 'landing' as const }))
    return world.settled(
      executionOf(job({ name: 'freshness', engine: 'dbt', inputs, options: { command: 'freshness' } })),
    )
  }
  const told = (status: ExecutionStatus): Record<string, string> => {
    const { result } = status as Extract<ExecutionStatus, { state: 'succeeded' | 'failed' }>
    const { results } = JSON.parse(readFileSync(result!.artefacts['sources.json']!, 'utf8')) as Sources
    return Object.fromEntries(results.map(({ unique_id, status: state }) => [unique_id.split('.').at(-1), state]))
  }

  test('freshness: what landed today passes, what is older warns, and the run says how old', async () => {
    await written('flights', 3 * DAY)
    await written('airports', 60)
    const status = await freshness('flights', 'airports')
    expect(status).toMatchObject({
      state: 'succeeded',
      result: { outputs: [], message: expect.stringMatching(/airports pass, last written \d+ s ago/) },
    })
    expect(status).toMatchObject({
      result: { message: expect.stringMatching(/flights warn, last written 259\d\d\d s ago/) },
    })
    expect(told(status)).toEqual({ flights: 'warn', airports: 'pass' })
  })

  test('a stream that has landed nothing says so', async () => {
    expect(await freshness('github')).toMatchObject({
      state: 'succeeded',
      result: { message: 'github warn, never written' },
    })
  })

  test('a stream that the project has no source for fails the run, and says how to get one', async () => {
    expect(await freshness('nobody')).toMatchObject({
      state: 'failed',
      error: { message: expect.stringMatching(/asks nothing of source:landing.nobody: .*`mesh dbt sources`/) },
    })
  })

  test('beyond the age that the project calls an error the run fails, and says which source', async () => {
    const file = join(world.folder, 'transforms', 'dbt', 'dbt_project.yml')
    const age =
      '    sources: { landing: { flights: { +freshness: { warn_after: { count: 1, period: day }, error_after: { count: 2, period: day } } } } }\n'
    writeFileSync(file, readFileSync(file, 'utf8').replace(/^ {4}\+freshness: .*\n/m, `$&${age}`))
    const status = await freshness('flights', 'airports')
    expect(status).toMatchObject({
      state: 'failed',
      error: { code: 'MESH_JOB_FAILED', message: expect.stringMatching(/^flights error, last written \d+ s ago$/) },
    })
    expect(told(status)).toEqual({ flights: 'error', airports: 'pass' })
    await written('flights', 60)
    expect(await freshness('flights', 'airports')).toMatchObject({ state: 'succeeded' })
  })

  type Answer = { readonly code: number; readonly stdout: string; readonly stderr: string }
  /** The command as a user calls it, on the warehouse of this test, whose gold lies at `gold`. */
  function mesh(args: readonly string[], { landing = world.landingFile, gold = world.goldFile } = {}): Promise<Answer> {
    const command = [join(ROOT, 'packages', 'cli', 'src', 'main.ts'), 'dbt', ...args, '--project', world.folder]
    const env = {
      ...process.env,
      MESH_STATE_DIR: world.folder,
      MESH_KAFKA_BROKERS: '127.0.0.1:1',
      MESH_SERVICE_URLS: 'job-trigger=http://127.0.0.1:1',
      MESH_REGISTRY_URL: 'http://127.0.0.1:1',
      MESH_LAKE_URL: `file://${world.folder}/lake`,
      MESH_WAREHOUSE_URL: `duckdb://${landing}`,
      MESH_GOLD_URL: `duckdb://${gold}`,
    }
    return promisify(execFile)(process.execPath, command, { env }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: Answer) => error,
    )
  }
  async function docs(gold: string): Promise<{ file: string; warehouse: boolean }> {
    const { stdout, stderr } = await mesh(['docs', '--json'], { gold })
    if (stdout === '') throw new Error(stderr)
    return JSON.parse(stdout) as { file: string; warehouse: boolean }
  }

  test('the command says the same of all streams, and its exit code is about errors', async () => {
    await written('flights', 3 * DAY)
    const old = await mesh(['freshness', '--json'])
    expect(old.code).toBe(1)
    expect(JSON.parse(old.stdout)).toEqual([
      expect.objectContaining({ table: 'airports', status: 'pass', warnAfter: '1 day', errorAfter: null }),
      expect.objectContaining({ table: 'flights', status: 'error', errorAfter: '2 days' }),
      expect.objectContaining({ table: 'github', status: 'warn', writtenAt: null }),
    ])
  })

  test('the command takes a warning for no failure, and asks of the streams that are named', async () => {
    await written('flights', 1.5 * DAY)
    const warned = await mesh(['freshness', 'flights'])
    expect(warned.code).toBe(0)
    expect(warned.stdout).toMatch(/^flights +warn +\S+ +36 h +1 day +2 days$/m)
    expect(warned.stdout.trim().split('\n')).toHaveLength(2)
  })

  test('the command fails for a table that could not be asked, with the reason', async () => {
    const landing = join(world.folder, 'other.duckdb')
    await withFile(landing, (run) => run('CREATE TABLE nothing (i INTEGER)'))
    const { code, stderr } = await mesh(['freshness', 'flights'], { landing })
    expect(code).toBe(1)
    expect(stderr).toMatch(/_mesh_ledger does not exist/)
    expect(stderr).toMatch(/no answer for flights/)
  })

  test('the command names a stream that there is not, and a warehouse that is not there', async () => {
    const unknown = await mesh(['freshness', 'fligths'])
    expect(unknown.code).not.toBe(0)
    expect(unknown.stderr).toMatch(/no folder streams\/fligths .*there are: .*flights/)
    const missing = await mesh(['freshness'], { landing: join(world.folder, 'none.duckdb') })
    expect(missing.code).not.toBe(0)
    expect(missing.stderr).toMatch(/nothing has landed yet/)
    expect(existsSync(join(world.folder, 'none.duckdb'))).toBe(false)
  })

  test('docs: one page has every model, source and board, and the columns as they lie in the warehouse', async () => {
    await world.landing.append('flights', [
      {
        key: 'LAX',
        values: {
          id: 'a',
          flightDate: '2001-01-01',
          departure: '2001-01-01 06:00:00',
          delay: 1,
          distance: 2,
          origin: 'LAX',
          destination: 'SFO',
        },
      },
    ])
    const execution = executionOf(job({ name: 'gold', engine: 'dbt' }))
    const whole = { ...execution, input: { ...execution.input, streams: { flights: over(0, 1) } } }
    expect(await world.settled({ ...whole, run: { ...whole.run, full: true } })).toMatchObject({ state: 'succeeded' })
    const { file, warehouse } = await docs(world.goldFile)
    expect(warehouse).toBe(true)
    const page = readFileSync(file, 'utf8')
    for (const id of [
      'model.mesh.daily_airport_delays',
      'source.mesh.landing.flights',
      'exposure.mesh.operations_board',
    ])
      expect(page).toContain(id)
    const catalog = JSON.parse(readFileSync(join(file, '..', 'catalog.json'), 'utf8')) as {
      nodes: Record<string, { columns: Record<string, { type: string }> }>
      sources: Record<string, unknown>
    }
    expect(catalog.nodes['model.mesh.route_performance']!.columns['flights']).toMatchObject({ type: 'BIGINT' })
    expect(Object.keys(catalog.sources)).toContain('source.mesh.landing.flights')
  })

  test('docs without a gold: the project is described all the same, and no warehouse comes into being', async () => {
    const missing = join(world.folder, 'none', 'gold.duckdb')
    const { file, warehouse } = await docs(missing)
    expect(warehouse).toBe(false)
    expect(readFileSync(file, 'utf8')).toContain('model.mesh.daily_airport_delays')
    expect(existsSync(missing)).toBe(false)
  })
})
