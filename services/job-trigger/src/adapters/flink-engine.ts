import { createHash } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { RunError, RunResult } from '@mesh/shared/core/runs'
import { type FlinkScript, type FlinkStatement, parseFlinkScript } from '@mesh/shared/schema/flink-script'
import type { Execution, ExecutionStatus, JobEngine, StreamControl } from '../core/ports.ts'
import { executionId } from '../core/run-state.ts'
import { executionFolder, prepareExecution, readWhole, writeWhole } from './execution-folder.ts'
import { FlinkStatementError, openFlinkSession, rootCause } from './flink-gateway.ts'
import { createFlinkJobs, type FlinkJob, flinkJobId } from './flink-jobs.ts'
import { optionsOf, sessionProperties } from './flink-session.ts'
import type { FlinkSources } from './flink-sources.ts'

export type FlinkEngineOptions = {
  /** REST API of the JobManager, and the SQL Gateway's; null: there is none. */
  readonly url: string | null
  readonly gatewayUrl: string | null
  readonly stateDir: string
  readonly projectDir: string
  /** Values of `${mesh.brokers}`, `${mesh.registry}`, `${mesh.lake}`. */
  readonly addresses: { readonly brokers: string; readonly registry: string | null; readonly lake: string | null }
  readonly sources: FlinkSources
}

/** A script that could not be submitted: the end of its execution, and all there is of it. */
type Refused = { readonly error: RunError }

const POLL_MS = 500
/** What the gateway says when the JobManager is the one that is away. */
const JOB_MANAGER_AWAY = /Connection refused|ConnectException|Could not connect|RestClientException|TimeoutException/
const KNOWN_ALREADY = /DuplicateJobSubmission|already been submitted|globally[- ]terminal/i

/**
 * Runs a SQL script by the SQL Gateway as one job: bounded, over a run's offset vector, or streaming from its start. The job's id is a
 * hash of the execution's, so the JobManager itself refuses a second submission, and any job-trigger finds the job again.
 */
export function createFlinkEngine(options: FlinkEngineOptions): JobEngine & { readonly streaming: StreamControl } {
  const jobs = createFlinkJobs(options.url)

  async function submit(execution: Execution): Promise<void> {
    const folder = executionFolder(options.stateDir, execution)
    if (readWhole<Refused>(folder.result) !== null || (await jobs.find(execution.id)) !== null) return
    const script = scriptOf(execution)
    await jobs.requireTaskManager()
    // One that was given up for lost and is there after all would write beside this one.
    if (execution.run.streaming && execution.run.attempt > 1) await jobs.cancel(attemptBefore(execution))
    const tables = await options.sources.tablesOf(execution)
    prepareExecution(folder, execution)
    const refuse = (message: string): void =>
      writeWhole(folder.result, { error: { code: 'MESH_JOB_FAILED', message } } satisfies Refused)
    const { sql } = optionsOf(execution)
    const [problem] = script.problems
    if (problem) return refuse(`${sql}:${problem.line}: ${problem.reason}`)
    if (tables.problem !== null) return refuse(tables.problem)
    const properties = sessionProperties(execution)
    const all = [...tables.statements, ...script.statements.map(({ text }) => text)]
    writeFileSync(join(folder.path, 'script.sql'), wholeScript(properties, all))
    const session = await openFlinkSession(gatewayUrl(), properties)
    try {
      for (const statement of tables.statements) await session.run(statement)
      const refused = await runScript(execution, session.run, script.statements)
      if (refused !== null) refuse(`${sql}:${refused}`)
    } finally {
      await session.close()
    }
  }

  /** The first statement that Flink refuses, as `line: reason`. */
  async function runScript(
    execution: Execution,
    run: (statement: string) => Promise<string | null>,
    statements: readonly FlinkStatement[],
  ): Promise<string | null> {
    for (const { text, line, targets } of statements) {
      try {
        await run(text)
      } catch (error) {
        if (!(error instanceof FlinkStatementError)) throw error
        const begins = targets.length > 0
        if (begins && (KNOWN_ALREADY.test(error.message) || (await jobs.find(execution.id)) !== null)) return null
        if (JOB_MANAGER_AWAY.test(error.message)) {
          throw new MeshError('MESH_JOB_ENGINE_UNSURE', `Flink's JobManager did not take the job: ${error.message}`)
        }
        return `${line}: ${error.message}`
      }
    }
    return null
  }

  async function status(execution: Execution): Promise<ExecutionStatus> {
    if (options.url === null) return { state: 'unknown' }
    const refused = readWhole<Refused>(executionFolder(options.stateDir, execution).result)
    if (refused) return { state: 'failed', error: refused.error, result: null }
    const job = await jobs.find(execution.id)
    if (job === null) return { state: 'unknown' }
    const streams = execution.run.streaming !== undefined
    switch (job.state) {
      case 'FINISHED':
        return streams ? ofStopped(execution, job) : { state: 'succeeded', result: resultOf(execution, job) }
      case 'FAILED':
      case 'CANCELED': {
        const [last] = await jobs.exceptions(execution.id)
        const why = last ? rootCause(last) : 'Flink ended the job as failed and names no exception'
        const message = job.state === 'CANCELED' ? 'the Flink job was cancelled' : why
        const checkpoint = streams ? { checkpoint: (await jobs.restorePoint(execution.id))?.path ?? null } : {}
        return { state: 'failed', error: { code: 'MESH_JOB_FAILED', message }, result: null, ...checkpoint }
      }
      default:
        return streams ? ofStreaming(execution, job) : { state: 'running' }
    }
  }

  async function ofStreaming(execution: Execution, job: FlinkJob): Promise<ExecutionStatus> {
    const artefacts: Record<string, string> = { 'flink job': jobs.page(execution.id) }
    // Asked for only where it will be written down.
    if (execution.run.streaming!.engineState !== job.state) {
      const point = await jobs.restorePoint(execution.id)
      if (point) artefacts['checkpoint'] = point.path
    }
    return { state: 'running', stream: { engineState: job.state, artefacts } }
  }

  /** A script over bounded tables of its own ends by itself; any other was stopped, here or at the JobManager. */
  async function ofStopped(execution: Execution, job: FlinkJob): Promise<ExecutionStatus> {
    const point = await jobs.restorePoint(execution.id)
    const result = resultOf(execution, job)
    if (point === null || !point.savepoint) return { state: 'succeeded', result }
    const artefacts = { ...result.artefacts, savepoint: point.path }
    return { state: 'stopped', savepoint: point.path, result: { ...result, artefacts } }
  }

  async function logs(execution: Execution): Promise<string | null> {
    const refused = readWhole<Refused>(executionFolder(options.stateDir, execution).result)
    if (refused) return refused.error.message
    const job = await jobs.find(execution.id)
    if (job === null) return null
    const head = `Flink job ${flinkJobId(execution.id)}: ${job.state} after ${job.duration / 1000} s`
    return [head, ...(await jobs.exceptions(execution.id))].join('\n\n')
  }

  function scriptOf(execution: Execution): FlinkScript {
    const { vars = {} } = optionsOf(execution)
    const { brokers, registry, lake } = options.addresses
    return parseFlinkScript(readFileSync(scriptFile(execution), 'utf8'), {
      ...vars,
      'mesh.job': execution.job.name,
      'mesh.run': execution.run.id,
      'mesh.execution': execution.id,
      'mesh.brokers': brokers,
      ...(registry === null ? {} : { 'mesh.registry': registry }),
      ...(lake === null ? {} : { 'mesh.lake': lake.replace(/\/$/, '') }),
    })
  }

  function scriptFile(execution: Pick<Execution, 'job'>): string {
    const file = join(options.projectDir, optionsOf(execution).sql)
    if (!existsSync(file)) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'there is no such SQL script', { place: file })
    return file
  }

  function gatewayUrl(): string {
    if (options.gatewayUrl === null) {
      throw new MeshError('MESH_JOB_ENGINE_AWAY', 'MESH_FLINK_GATEWAY_URL is not set')
    }
    return options.gatewayUrl
  }

  function resultOf(execution: Execution, { duration }: FlinkJob): RunResult {
    const { statements } = scriptOf(execution)
    const outputs = statements.flatMap(({ targets }) => targets)
    return {
      outputs: outputs.map((name) => ({ name, status: 'success', seconds: duration / 1000 })),
      artefacts: { 'flink job': jobs.page(execution.id) },
      message: null,
    }
  }

  return {
    submit,
    status,
    cancel: ({ id }) => jobs.cancel(id),
    logs,
    streaming: {
      stop: ({ id }, at) => jobs.stop(id, at),
      async program({ job }) {
        const file = join(options.projectDir, optionsOf({ job }).sql)
        if (!existsSync(file)) return null
        const text = readFileSync(file, 'utf8')
        return createHash('sha256')
          .update(JSON.stringify([text, job.options]))
          .digest('hex')
          .slice(0, 16)
      },
    },
    pollMs: POLL_MS,
    close: async () => {},
  }
}

const attemptBefore = ({ run }: Execution): string => executionId({ id: run.id, attempt: run.attempt - 1 })

/** What a session does, for `sql-client.sh -f` and for people who look for what was submitted. */
function wholeScript(properties: Readonly<Record<string, string>>, statements: readonly string[]): string {
  const own = Object.entries(properties).filter(([key]) => !key.startsWith('$internal.'))
  const settings = own.map(([key, value]) => `SET '${key}' = '${value.replaceAll("'", "''")}'`)
  return [...settings, ...statements].map((statement) => `${statement};\n`).join('\n')
}
