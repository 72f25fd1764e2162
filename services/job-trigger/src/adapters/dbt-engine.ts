import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import { dbtSourceSelector } from '@mesh/shared/core/topics'
import type { Execution, ExecutionStatus, JobEngine } from '../core/ports.ts'
import { type DbtOutcome, type DbtRunner, RunnerEnded } from './dbt-runner.ts'
import { type ExecutionFolder, executionFolder, prepareExecution, readLog, readWhole } from './execution-folder.ts'
import { type Claim, isAlive } from './process-claim.ts'

type DbtOptions = {
  readonly project?: string
  readonly target?: string
  readonly command?: 'build' | 'run' | 'test' | 'freshness'
  readonly select?: readonly string[]
  readonly exclude?: readonly string[]
}

export type DbtEngineOptions = {
  /** Null: there is no dbt; `missing` says why. */
  readonly runner: DbtRunner | null
  readonly missing: string
  readonly stateDir: string
  readonly projectDir: string
  /** Of all invocations: one target path, one warehouse. */
  readonly targetPath: string
}

const DEFAULT_PROJECT = 'transforms/dbt'

/**
 * Runs the models downstream of the streams that a run has rows of, with the run's input as the var `mesh`. The result lies in the
 * execution's folder before it is told here, so a job-trigger that was killed in between finds it there.
 */
export function createDbtEngine(options: DbtEngineOptions): JobEngine & { warm(): Promise<void> } {
  /** Executions of this process: what they came to, or null while they run. */
  const own = new Map<string, ExecutionStatus | null>()

  async function submit(execution: Execution): Promise<void> {
    const { runner } = options
    if (runner === null) throw new MeshError('MESH_JOB_ENGINE_AWAY', options.missing)
    const project = projectOf(execution)
    if (!existsSync(join(project, 'dbt_project.yml'))) {
      throw new MeshError('MESH_JOB_ENGINE_AWAY', 'there is no dbt project', { place: project })
    }
    const folder = executionFolder(options.stateDir, execution)
    if ((await status(execution)).state !== 'unknown') return
    prepareExecution(folder, execution)
    own.set(execution.id, null)
    void runner
      .invoke({
        id: execution.id,
        project,
        target: optionsOf(execution).target ?? 'local',
        targetPath: options.targetPath,
        folder: folder.path,
        args: argumentsOf(execution),
        vars: { mesh: execution.input },
      })
      .then((outcome) => own.set(execution.id, statusOf(outcome)))
      .catch((error: unknown) => own.set(execution.id, ended(error, folder)))
  }

  async function status(execution: Execution): Promise<ExecutionStatus> {
    const known = own.get(execution.id)
    if (known) return known
    if (known === null) return { state: 'running' }
    const folder = executionFolder(options.stateDir, execution)
    const claim = readWhole<Claim>(folder.claim)
    const alive = claim !== null && isAlive(claim)
    const outcome = readWhole<DbtOutcome>(folder.result)
    if (outcome) return statusOf(outcome)
    // The dbt process of a killed job-trigger, which is finishing what it had.
    return { state: alive ? 'running' : 'unknown' }
  }

  function projectOf(execution: Execution): string {
    return join(options.projectDir, optionsOf(execution).project ?? DEFAULT_PROJECT)
  }

  /** Starts dbt and has it read the project, which takes seconds that the first run need not wait for. */
  async function warm(): Promise<void> {
    const project = join(options.projectDir, DEFAULT_PROJECT)
    if (options.runner === null || !existsSync(join(project, 'dbt_project.yml'))) return
    const folder = join(options.stateDir, 'runs', '.warm', String(process.pid))
    mkdirSync(folder, { recursive: true })
    const { targetPath } = options
    // What keeps it from starting is told by the first run, which tries again.
    await options.runner
      .invoke({ id: 'warm', project, target: 'local', targetPath, folder, args: [], vars: {} })
      .catch(() => undefined)
    rmSync(folder, { recursive: true, force: true })
  }

  return {
    submit,
    status,
    warm,
    async cancel(execution) {
      if (own.get(execution.id) === null) await options.runner?.kill()
    },
    logs: async (execution) => readLog(executionFolder(options.stateDir, execution)),
    pollMs: 25,
    async close() {
      await options.runner?.kill()
    },
  }
}

const optionsOf = ({ job }: Execution): DbtOptions => job.options as DbtOptions

/** Unit tests prove the models' code, not this run's rows: they belong to the project's tests. */
function argumentsOf(execution: Execution): string[] {
  const { command = 'build', select, exclude } = optionsOf(execution)
  if (command === 'freshness') return freshnessArguments(execution)
  const { full, vector } = execution.run
  const changed = [...new Set(vector.map(({ stream }) => stream))]
  const chosen = select ?? (full ? [] : changed.map((stream) => `${dbtSourceSelector(stream)}+`))
  return [
    command,
    ...(full ? ['--full-refresh'] : []),
    ...(chosen.length > 0 ? ['--select', ...chosen] : []),
    ...(exclude ? ['--exclude', ...exclude] : []),
    ...(command === 'build' ? ['--exclude-resource-type', 'unit_test'] : []),
  ]
}

/** How old the newest rows are of every stream that the job has as an input, whichever of them set the run off. */
function freshnessArguments(execution: Execution): string[] {
  const { select, exclude } = optionsOf(execution)
  const streams = [...new Set(execution.job.inputs.map(({ stream }) => stream))]
  const chosen = select ?? streams.map(dbtSourceSelector)
  return ['source', 'freshness', '--select', ...chosen, ...(exclude ? ['--exclude', ...exclude] : [])]
}

function statusOf({ success, error, outputs, artefacts, message = null }: DbtOutcome): ExecutionStatus {
  const result = { outputs, artefacts, message }
  if (success) return { state: 'succeeded', result }
  return { state: 'failed', error: { code: 'MESH_JOB_FAILED', message: error ?? 'dbt failed' }, result }
}

/** Counted as a failure: an input that takes dbt down with it must come to an end. */
function ended(error: unknown, folder: ExecutionFolder): ExecutionStatus {
  if (!(error instanceof RunnerEnded)) throw error
  const result = { outputs: [], artefacts: { 'output.log': folder.log }, message: null }
  return { state: 'failed', error: { code: 'MESH_JOB_FAILED', message: error.message }, result }
}
