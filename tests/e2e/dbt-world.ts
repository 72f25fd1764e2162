import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { installDbt } from '../../packages/cli/src/stack/dbt.ts'
import { waitFor } from '../../packages/cli/src/wait-for.ts'
import { createDbtEngine } from '../../services/job-trigger/src/adapters/dbt-engine.ts'
import { createDbtRunner, type DbtRunner } from '../../services/job-trigger/src/adapters/dbt-runner.ts'
import type { Execution, ExecutionStatus, JobEngine } from '../../services/job-trigger/src/core/ports.ts'
import { createLandingFile, type LandingFile } from './landing-file.ts'

const DBT = join(import.meta.dirname, '..', '..', 'transforms', 'dbt')

export type DbtWorld = {
  /** A project: `transforms/dbt` in it is a copy, which tests may break. */
  readonly folder: string
  readonly landingFile: string
  readonly goldFile: string
  readonly landing: LandingFile
  readonly runner: DbtRunner
  readonly engine: JobEngine
  /** Pids of the dbt processes that were started. */
  readonly started: readonly number[]
  engineOf(runner: DbtRunner | null): JobEngine
  /** Submits and waits for the end. */
  settled(execution: Execution): Promise<ExecutionStatus>
  /** dbt itself over the repository's project; what it prints. */
  byHand(...args: string[]): Promise<string>
  close(): Promise<void>
}

/** The real dbt over a landing file as the warehouse-sink makes it, through the engine that job-trigger has. */
export async function createDbtWorld(cache: string): Promise<DbtWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'mesh-dbt-'))
  const python = await installDbt({ folder: DBT, cache, env: process.env })
  const [landingFile, goldFile] = [join(folder, 'landing.duckdb'), join(folder, 'gold.duckdb')]
  const env = {
    ...process.env,
    MESH_LANDING_FILE: landingFile,
    MESH_GOLD_FILE: goldFile,
    MESH_DBT_PLUGINS: join(DBT, 'plugins'),
  }
  const landing = await createLandingFile(landingFile, { flights: 'append', airports: 'upsert', github: 'append' })
  cpSync(DBT, join(folder, 'transforms', 'dbt'), { recursive: true })
  const started: number[] = []
  const runner = createDbtRunner({
    python,
    script: join(DBT, 'runner', 'mesh_dbt_runner.py'),
    env,
    maxRssMb: 4096,
    maxInvocations: 100,
    started: (pid) => started.push(pid),
  })
  const engineOf = (own: DbtRunner | null): JobEngine =>
    createDbtEngine({
      runner: own,
      missing: 'no Python',
      stateDir: folder,
      projectDir: folder,
      targetPath: join(folder, 'target'),
    })
  const engine = engineOf(runner)
  return {
    folder,
    landingFile,
    goldFile,
    landing,
    runner,
    engine,
    started,
    engineOf,
    async settled(execution) {
      await engine.submit(execution)
      return waitFor(
        async () => {
          const status = await engine.status(execution)
          return status.state === 'running' ? null : status
        },
        { what: 'dbt to end', timeoutMs: 600_000, everyMs: 25 },
      )
    },
    byHand(...args) {
      const target = join(folder, 'by-hand')
      const common = ['--project-dir', DBT, '--profiles-dir', DBT, '--target-path', target, '--log-path', target]
      const command = ['-m', 'dbt.cli.main', '--no-use-colors', ...args, ...common]
      return promisify(execFile)(python, command, { env: { ...env, PYTHONDONTWRITEBYTECODE: '1' }, cwd: folder }).then(
        ({ stdout }) => stdout,
        (error: { stdout?: string; message: string }) => {
          throw new Error(`${error.message}\n${error.stdout ?? ''}`)
        },
      )
    },
    async close() {
      await engine.close()
      rmSync(folder, { recursive: true, force: true, maxRetries: 10 })
    },
  }
}
