import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunOutput, RunResult } from '@mesh/shared/core/runs'
import type { Execution, ExecutionStatus, JobEngine } from '../core/ports.ts'
import {
  type ExecutionFolder,
  executionFolder,
  prepareExecution,
  readLog,
  readWhole,
  writeWhole,
} from './execution-folder.ts'
import { type Claim, isAlive } from './process-claim.ts'

export type WrappedCommand = {
  readonly run: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
}

export type WrappedEngineOptions = {
  readonly stateDir: string
  /** Commands run here. */
  readonly projectDir: string
  /** @throws MeshError MESH_JOB_ENGINE_AWAY when there is nothing to run it with */
  readonly commandOf: (execution: Execution, folder: ExecutionFolder) => WrappedCommand
  readonly pollMs: number
}

type Ended = {
  readonly code: number | null
  readonly signal: string | null
  readonly error: string | null
  readonly interrupted: 'stopped' | 'cancelled' | null
}

const WRAPPER = join(import.meta.dirname, 'command-wrapper.mjs')
const LOOK_MS = 20
/** From the wrapper's SIGTERM to its own SIGKILL of the command, and a little more. */
const END_WITHIN_MS = 8000

/**
 * Runs a program with MESH_RUN_ID, MESH_EXECUTION_ID, MESH_INPUT (a JSON file) and MESH_OUTPUTS (where it may leave a JSON array of
 * `{name, status, seconds}`). A wrapper process holds it, so that it outlives a killed job-trigger, and the next one finds it
 * running, or finds its result. A clean stop ends it: it runs again after the start.
 */
export function createWrappedEngine(options: WrappedEngineOptions): JobEngine {
  const mine = new Map<string, ExecutionFolder>()

  async function submit(execution: Execution): Promise<void> {
    const folder = executionFolder(options.stateDir, execution)
    if (statusOf(folder).state !== 'unknown') return
    const { run, env } = options.commandOf(execution, folder)
    prepareExecution(folder, execution)
    writeWhole(join(folder.path, 'command.json'), {
      run,
      cwd: options.projectDir,
      env: {
        ...env,
        MESH_RUN_ID: execution.run.id,
        MESH_EXECUTION_ID: execution.id,
        MESH_JOB: execution.job.name,
        MESH_INPUT: folder.input,
        MESH_OUTPUTS: outputsFile(folder),
      },
    })
    const wrapper = spawn(process.execPath, [WRAPPER, folder.path], { detached: true, stdio: 'ignore' })
    await once(wrapper, 'spawn')
    wrapper.unref()
    mine.set(execution.id, folder)
    while (!existsSync(folder.claim) && wrapper.exitCode === null && wrapper.signalCode === null) await delay(LOOK_MS)
  }

  async function interrupt(folder: ExecutionFolder, signal: 'SIGTERM' | 'SIGINT'): Promise<void> {
    const claim = readWhole<Claim>(folder.claim)
    if (claim === null || !isAlive(claim)) return
    process.kill(claim.pid, signal)
    const deadline = Date.now() + END_WITHIN_MS
    while (isAlive(claim) && Date.now() < deadline) await delay(LOOK_MS)
  }

  return {
    submit,
    status: async (execution) => statusOf(executionFolder(options.stateDir, execution)),
    cancel: (execution) => interrupt(executionFolder(options.stateDir, execution), 'SIGINT'),
    logs: async (execution) => readLog(executionFolder(options.stateDir, execution)),
    pollMs: options.pollMs,
    async close() {
      await Promise.all([...mine.values()].map((folder) => interrupt(folder, 'SIGTERM')))
    },
  }
}

function statusOf(folder: ExecutionFolder): ExecutionStatus {
  const claim = readWhole<Claim>(folder.claim)
  // Looked at first: a wrapper that ends between the two looks has written its result before.
  const alive = claim !== null && isAlive(claim)
  const ended = readWhole<Ended>(folder.result)
  if (ended?.interrupted === 'stopped') return { state: 'unknown' }
  if (ended) return outcome(ended, folder)
  if (alive) return { state: 'running' }
  if (claim === null) return { state: 'unknown' }
  return failure('the command and its wrapper were killed', folder)
}

function outcome({ code, signal, error, interrupted }: Ended, folder: ExecutionFolder): ExecutionStatus {
  if (code === 0) return { state: 'succeeded', result: resultOf(folder) }
  if (interrupted === 'cancelled') return failure('the command was cancelled', folder)
  return failure(
    error ?? (signal === null ? `the command ended with exit code ${code}` : `the command ended by ${signal}`),
    folder,
  )
}

function failure(message: string, folder: ExecutionFolder): ExecutionStatus {
  return { state: 'failed', error: { code: 'MESH_JOB_FAILED', message }, result: resultOf(folder) }
}

const outputsFile = ({ path }: ExecutionFolder): string => join(path, 'outputs.json')

function resultOf(folder: ExecutionFolder): RunResult {
  return {
    outputs: readWhole<readonly RunOutput[]>(outputsFile(folder)) ?? [],
    artefacts: { 'output.log': folder.log, 'input.json': folder.input },
    message: null,
  }
}
