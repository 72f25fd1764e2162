import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MeshError } from '@mesh/shared/core/errors'
import type { RunError, RunResult } from '@mesh/shared/core/runs'
import { type FlinkScript, type FlinkStatement, parseFlinkScript } from '@mesh/shared/schema/flink-script'
import type { Execution, ExecutionStatus, JobEngine } from '../core/ports.ts'
import { engineJson } from './engine-call.ts'
import { executionFolder, prepareExecution, readWhole, writeWhole } from './execution-folder.ts'
import { FlinkStatementError, openFlinkSession, reasonOf, rootCause } from './flink-gateway.ts'
import type { FlinkSources } from './flink-sources.ts'
import type { HttpCall, HttpReply } from './http-call.ts'

type FlinkOptions = {
  readonly sql: string
  readonly vars?: Readonly<Record<string, string>>
  readonly conf?: Readonly<Record<string, string>>
}

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

type FlinkJob = { readonly state: string; readonly duration: number }
/** A script that could not be submitted: the end of its execution, and all there is of it. */
type Refused = { readonly error: RunError }

const POLL_MS = 500
const CANCEL_WITHIN_MS = 30_000
const ENDED_BADLY = new Set(['FAILED', 'CANCELED'])
/** What the gateway says when the JobManager is the one that is away. */
const JOB_MANAGER_AWAY = /Connection refused|ConnectException|Could not connect|RestClientException|TimeoutException/
const KNOWN_ALREADY = /DuplicateJobSubmission|already been submitted|globally[- ]terminal/i

/**
 * Runs a SQL script over a run's offset vector as one bounded job, submitted by the SQL Gateway. The job's id is a hash of the
 * execution's, so the JobManager itself refuses a second submission, and any job-trigger finds the job again, running or ended.
 */
export function createFlinkEngine(options: FlinkEngineOptions): JobEngine {
  async function submit(execution: Execution): Promise<void> {
    const folder = executionFolder(options.stateDir, execution)
    if (readWhole<Refused>(folder.result) !== null || (await jobOf(execution)) !== null) return
    const script = scriptOf(execution)
    await requireTaskManager()
    const tables = await options.sources.tablesOf(execution)
    prepareExecution(folder, execution)
    const refuse = (message: string): void =>
      writeWhole(folder.result, { error: { code: 'MESH_JOB_FAILED', message } } satisfies Refused)
    const { sql } = optionsOf(execution)
    const [problem] = script.problems
    if (problem) return refuse(`${sql}:${problem.line}: ${problem.reason}`)
    if (tables.problem !== null) return refuse(tables.problem)
    const session = await openFlinkSession(gatewayUrl(), sessionProperties(execution))
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
        if (targets.length > 0 && (KNOWN_ALREADY.test(error.message) || (await jobOf(execution)) !== null)) return null
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
    const job = await jobOf(execution)
    if (job === null) return { state: 'unknown' }
    if (job.state === 'FINISHED') return { state: 'succeeded', result: resultOf(execution, job) }
    if (!ENDED_BADLY.has(job.state)) return { state: 'running' }
    const message = job.state === 'CANCELED' ? 'the Flink job was cancelled' : await failureOf(execution)
    return { state: 'failed', error: { code: 'MESH_JOB_FAILED', message }, result: null }
  }

  async function cancel(execution: Execution): Promise<void> {
    if ((await jobOf(execution)) === null) return
    const reply = await ask('PATCH', `/jobs/${flinkJobId(execution.id)}?mode=cancel`)
    // 409: it has ended by itself.
    if (!reply.ok && reply.status !== 404 && reply.status !== 409) throw unexpected(reply)
    const deadline = Date.now() + CANCEL_WITHIN_MS
    for (;;) {
      const job = await jobOf(execution)
      if (job === null || job.state === 'FINISHED' || ENDED_BADLY.has(job.state)) return
      if (Date.now() > deadline) throw new MeshError('MESH_JOB_ENGINE_UNSURE', 'the Flink job is still being cancelled')
      await new Promise((resolve) => setTimeout(resolve, POLL_MS / 5))
    }
  }

  async function logs(execution: Execution): Promise<string | null> {
    const refused = readWhole<Refused>(executionFolder(options.stateDir, execution).result)
    if (refused) return refused.error.message
    const job = await jobOf(execution)
    if (job === null) return null
    const exceptions = (await exceptionsOf(execution)).map(({ stacktrace }) => stacktrace)
    return [`Flink job ${flinkJobId(execution.id)}: ${job.state} after ${job.duration / 1000} s`, ...exceptions].join(
      '\n\n',
    )
  }

  async function jobOf(execution: Execution): Promise<FlinkJob | null> {
    const reply = await ask('GET', `/jobs/${flinkJobId(execution.id)}`)
    if (reply.status === 404) return null
    if (!reply.ok) throw unexpected(reply)
    return JSON.parse(reply.text) as FlinkJob
  }

  async function failureOf(execution: Execution): Promise<string> {
    const [last] = await exceptionsOf(execution)
    return last ? rootCause(last.stacktrace) : 'Flink ended the job as failed and names no exception'
  }

  async function exceptionsOf(execution: Execution): Promise<readonly { readonly stacktrace: string }[]> {
    const reply = await ask('GET', `/jobs/${flinkJobId(execution.id)}/exceptions?maxExceptions=10`)
    if (!reply.ok) return []
    type Exceptions = { readonly exceptionHistory?: { readonly entries: readonly { readonly stacktrace: string }[] } }
    return (JSON.parse(reply.text) as Exceptions).exceptionHistory?.entries ?? []
  }

  /** A job without one would wait for slots and fail after minutes. */
  async function requireTaskManager(): Promise<void> {
    const reply = await ask('GET', '/overview')
    if (!reply.ok) throw unexpected(reply)
    if ((JSON.parse(reply.text) as { taskmanagers: number }).taskmanagers === 0) {
      throw new MeshError('MESH_JOB_ENGINE_AWAY', 'the Flink cluster has no task manager')
    }
  }

  function scriptOf(execution: Execution): FlinkScript {
    const { sql, vars = {} } = optionsOf(execution)
    const file = join(options.projectDir, sql)
    if (!existsSync(file)) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'there is no such SQL script', { place: file })
    const { brokers, registry, lake } = options.addresses
    return parseFlinkScript(readFileSync(file, 'utf8'), {
      ...vars,
      'mesh.job': execution.job.name,
      'mesh.run': execution.run.id,
      'mesh.execution': execution.id,
      'mesh.brokers': brokers,
      ...(registry === null ? {} : { 'mesh.registry': registry }),
      ...(lake === null ? {} : { 'mesh.lake': lake.replace(/\/$/, '') }),
    })
  }

  function gatewayUrl(): string {
    if (options.gatewayUrl === null) {
      throw new MeshError('MESH_JOB_ENGINE_AWAY', 'MESH_FLINK_GATEWAY_URL is not set')
    }
    return options.gatewayUrl
  }

  function ask(method: HttpCall['method'], path: string): Promise<HttpReply> {
    if (options.url === null) throw new MeshError('MESH_JOB_ENGINE_AWAY', 'MESH_FLINK_URL is not set')
    return engineJson(method, `${options.url.replace(/\/$/, '')}${path}`)
  }

  return { submit, status, cancel, logs, pollMs: POLL_MS, close: async () => {} }

  function resultOf(execution: Execution, { duration }: FlinkJob): RunResult {
    const { statements } = scriptOf(execution)
    const outputs = statements.flatMap(({ targets }) => targets)
    const page = `${options.url!.replace(/\/$/, '')}/#/job/completed/${flinkJobId(execution.id)}`
    return {
      outputs: outputs.map((name) => ({ name, status: 'success', seconds: duration / 1000 })),
      artefacts: { 'flink job': page },
      message: null,
    }
  }
}

/** 32 hex digits, as Flink's ids are. */
export const flinkJobId = (executionId: string): string =>
  createHash('sha256').update(executionId).digest('hex').slice(0, 32)

const optionsOf = ({ job }: Execution): FlinkOptions => job.options as FlinkOptions

/**
 * A bounded job: batch mode has no late records, overwrites what it wrote before, and commits its sinks at its end. A task manager
 * that is lost is worked around; what keeps failing ends, and is job-trigger's to try again. A job's `conf` overrules the rest.
 */
function sessionProperties(execution: Execution): Record<string, string> {
  return {
    'execution.runtime-mode': 'BATCH',
    'restart-strategy.type': 'fixed-delay',
    'restart-strategy.fixed-delay.attempts': '3',
    'restart-strategy.fixed-delay.delay': '1 s',
    'table.local-time-zone': 'UTC',
    ...optionsOf(execution).conf,
    'pipeline.name': execution.id,
    '$internal.pipeline.job-id': flinkJobId(execution.id),
  }
}

const unexpected = (reply: HttpReply): MeshError =>
  new MeshError('MESH_JOB_ENGINE_UNSURE', `Flink answers ${reply.status}: ${reasonOf(reply.text)}`)
