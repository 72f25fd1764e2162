import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { MeshError } from '@mesh/shared/core/errors'
import { endSession } from './process-session.ts'
import { isAlive, markOf, type ProcessMark, writeJson } from './state.ts'

const LARGEST_LOG = 10 * 1024 * 1024
const PROBE_INTERVAL_MS = 50
/** Lines of a log in an error: enough for a stack trace and the message above it. */
export const SHOWN_LINES = 24

export type Environment = Readonly<Record<string, string | undefined>>

export interface ChildSpec {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env: Environment
  readonly cwd: string
  readonly logFile: string
  readonly pidFile: string
  /** True once the process serves. Called again and again; an exception counts as "not yet". */
  readonly isReady: () => Promise<boolean>
  readonly readyTimeoutMs: number
  /** From SIGTERM to SIGKILL. */
  readonly stopTimeoutMs: number
  /** Default SIGTERM. */
  readonly stopSignal?: NodeJS.Signals
  /** Nothing of it is worth a clean stop when its start is cancelled. */
  readonly disposable?: boolean
  /** What it starts may lead groups of its own: `stop` ends all of its session. Where there is no /proc, only its group. */
  readonly wholeSession?: boolean
}

export interface ChildExit {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ManagedChild {
  readonly name: string
  readonly pid: number
  readonly exited: Promise<ChildExit>
  /** SIGTERM, then SIGKILL to the whole group; resolves when the process is gone, and its session if the spec says so. */
  stop(): Promise<ChildExit>
  /** False when the process is gone already. */
  kill(signal: NodeJS.Signals): boolean
}

/**
 * Starts a process in a group of its own (a Ctrl-C in the terminal reaches only the supervisor, which stops in order),
 * writes down its pid and resolves when it is ready. Throws MESH_STACK_CHILD_FAILED with its last log lines when it
 * ends first or is not ready in time; it is stopped then.
 */
export async function startChild(spec: ChildSpec, signal?: AbortSignal): Promise<ManagedChild> {
  if (signal?.aborted) throw cancelled(spec)
  const child = spawnLogged(spec)
  const exited = exitOf(child)
  if (child.pid === undefined) throw childFailed(spec, `could not be started: ${describe(await exited)}`)
  const managed = manage(spec, child.pid, exited)
  try {
    const mark = markOf(spec.name, child.pid)
    if (mark) writeJson(spec.pidFile, mark)
    await untilReady(spec, managed, signal)
    return managed
  } catch (error) {
    if (spec.disposable) managed.kill('SIGKILL')
    await managed.stop()
    throw error
  }
}

function spawnLogged(spec: ChildSpec): ChildProcess {
  mkdirSync(dirname(spec.logFile), { recursive: true })
  if (existsSync(spec.logFile) && statSync(spec.logFile).size > LARGEST_LOG) {
    renameSync(spec.logFile, `${spec.logFile}.old`)
  }
  const log = openSync(spec.logFile, 'a')
  try {
    return spawn(spec.command, spec.args, {
      cwd: spec.cwd,
      env: { ...spec.env },
      detached: true,
      stdio: ['ignore', log, log],
    })
  } finally {
    closeSync(log)
  }
}

/** A process that could not be spawned ends with code null and no signal. */
function exitOf(child: ChildProcess): Promise<ChildExit> {
  return new Promise((resolve) => {
    child.once('error', () => resolve({ code: null, signal: null }))
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
}

function manage(spec: ChildSpec, pid: number, exited: Promise<ChildExit>): ManagedChild {
  let gone = false
  void exited.then(() => {
    gone = true
    signalGroup(pid, 'SIGKILL') // what it has started and left behind
    rmSync(spec.pidFile, { force: true })
  })
  function kill(signal: NodeJS.Signals): boolean {
    return !gone && signalGroup(pid, signal)
  }
  async function stop(): Promise<ChildExit> {
    kill(spec.stopSignal ?? 'SIGTERM')
    const timer = setTimeout(() => kill('SIGKILL'), spec.stopTimeoutMs)
    try {
      const exit = await exited
      if (spec.wholeSession) await endSession({ name: spec.name, pid })
      return exit
    } finally {
      clearTimeout(timer)
    }
  }
  return { name: spec.name, pid, exited, stop, kill }
}

async function untilReady(spec: ChildSpec, child: ManagedChild, signal?: AbortSignal): Promise<void> {
  const deadline = Date.now() + spec.readyTimeoutMs
  let exit: ChildExit | undefined
  void child.exited.then((ended) => {
    exit = ended
  })
  while (!(await isReady(spec))) {
    if (exit) throw childFailed(spec, `ended before it was ready (${describe(exit)})`)
    if (signal?.aborted) throw cancelled(spec)
    if (Date.now() > deadline) throw childFailed(spec, `was not ready after ${spec.readyTimeoutMs / 1000} s`)
    await delay(PROBE_INTERVAL_MS)
  }
  if (exit) throw childFailed(spec, `ended before it was ready (${describe(exit)})`)
}

async function isReady(spec: ChildSpec): Promise<boolean> {
  try {
    return await spec.isReady()
  } catch {
    return false
  }
}

export function describe(exit: ChildExit): string {
  return exit.signal ? `signal ${exit.signal}` : `exit code ${exit.code ?? 'unknown'}`
}

function cancelled(spec: ChildSpec): MeshError {
  return new MeshError('MESH_STACK_STOPPED', `starting ${spec.name} was cancelled`)
}

function childFailed(spec: ChildSpec, what: string): MeshError {
  const lines = lastLines(spec.logFile, SHOWN_LINES)
  return new MeshError('MESH_STACK_CHILD_FAILED', `${spec.name} ${what}${lines ? `; its last lines:\n${lines}` : ''}`, {
    place: spec.logFile,
  })
}

/** The end of a log file, at most 8 KiB; empty when there is none. */
export function lastLines(file: string, count: number): string {
  if (!existsSync(file)) return ''
  return readFileSync(file).subarray(-8192).toString('utf8').trimEnd().split('\n').slice(-count).join('\n')
}

/**
 * Stops a process of an earlier stack by its pid, and only if the pid is still that process.
 * Returns whether there was one to stop.
 */
export async function stopMarked(mark: ProcessMark, timeoutMs: number): Promise<boolean> {
  if (!isAlive(mark)) return false
  signalGroup(mark.pid, 'SIGTERM')
  const deadline = Date.now() + timeoutMs
  while (isAlive(mark)) {
    if (Date.now() > deadline) signalGroup(mark.pid, 'SIGKILL')
    await delay(PROBE_INTERVAL_MS)
  }
  return true
}

/** Every child leads a group. False when nobody is left in it. */
function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-pid, signal)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false
    throw error
  }
}
