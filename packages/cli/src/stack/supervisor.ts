import { setTimeout as delay } from 'node:timers/promises'
import { isMeshError, MeshError } from '@mesh/shared/core/errors'
import {
  type ChildExit,
  type ChildSpec,
  describe,
  lastLines,
  type ManagedChild,
  SHOWN_LINES,
  startChild,
} from './process.ts'

const FIRST_BACKOFF_MS = 200
const LONGEST_BACKOFF_MS = 10_000
/** A process that stayed up this long starts again at the first back-off. */
const SETTLED_MS = 30_000

export type ProcessState = 'starting' | 'running' | 'restarting' | 'stopped' | 'failed'

export interface SupervisedChild {
  readonly spec: ChildSpec
  readonly port: number
  /** Services are started again when they die; the death of a broker or registry ends the stack. */
  readonly restarts: boolean
}

export interface ProcessStatus {
  readonly name: string
  readonly pid: number | null
  readonly port: number
  readonly state: ProcessState
  /** How often it has died and come back. */
  readonly restarts: number
  readonly logFile: string
}

export interface ProcessDeath {
  readonly name: string
  readonly exit: ChildExit
  readonly lastLines: string
  readonly willRestart: boolean
}

export interface Supervisor {
  /** Starts all of them at once; resolves when all are ready, else stops everything started so far and throws. */
  start(children: readonly SupervisedChild[]): Promise<void>
  /** Starts one more; resolves when it is ready. A failure is thrown, and the others go on. */
  add(child: SupervisedChild): Promise<void>
  /** Stops in the reverse order of the starts. */
  stop(): Promise<void>
  /** Sends a signal, as a fault would; the restart policy applies. False when the process is not running. */
  kill(name: string, signal: NodeJS.Signals): boolean
  /** Ends one process with the signal and starts it again; also for processes without a restart policy. */
  restart(name: string, signal?: NodeJS.Signals): Promise<void>
  /** Stops one running process, which stays stopped until `resume`. */
  halt(name: string): Promise<void>
  /** Starts a halted process again; resolves when it is ready. */
  resume(name: string): Promise<void>
  processes(): readonly ProcessStatus[]
  /** Resolves when everything has stopped; with the error when a process that may not die has died. */
  readonly done: Promise<MeshError | null>
}

export interface SupervisorHooks {
  readonly onChange?: (status: ProcessStatus) => void
  readonly onDeath?: (death: ProcessDeath) => void
}

interface Entry {
  readonly child: SupervisedChild
  running: ManagedChild | undefined
  state: ProcessState
  restarts: number
  /** Deaths since it last stayed up for SETTLED_MS. */
  quickDeaths: number
  /** The start in progress, which a stop waits for. */
  launching: Promise<void> | undefined
  /** True while `restart` or `halt` ends the process: its end is no death. */
  ending: boolean
}

export function createSupervisor(hooks: SupervisorHooks = {}): Supervisor {
  const stages: Entry[][] = []
  const abort = new AbortController()
  const { promise: done, resolve: resolveDone } = Promise.withResolvers<MeshError | null>()
  let stopping: Promise<void> | undefined
  let failure: MeshError | null = null

  async function start(children: readonly SupervisedChild[]): Promise<void> {
    if (stopping) throw new MeshError('MESH_STACK_STOPPED', 'the stack is stopping')
    const stage = children.map(entryOf)
    stages.push(stage)
    const failures: unknown[] = []
    await Promise.all(
      stage.map((entry) =>
        launch(entry).catch((error: unknown) => {
          failures.push(error)
          abort.abort() // the others of the stage need not become ready
        }),
      ),
    )
    if (failures.length === 0) return
    await stop()
    throw failures[0]
  }

  async function add(child: SupervisedChild): Promise<void> {
    if (stopping) throw new MeshError('MESH_STACK_STOPPED', 'the stack is stopping')
    const stage = [entryOf(child)]
    stages.push(stage)
    try {
      await launch(stage[0]!)
    } catch (error) {
      stages.splice(stages.indexOf(stage), 1)
      throw error
    }
  }

  function launch(entry: Entry): Promise<void> {
    entry.launching = run(entry).finally(() => {
      entry.launching = undefined
    })
    return entry.launching
  }

  async function run(entry: Entry): Promise<void> {
    if (entry.state !== 'restarting') change(entry, 'starting')
    try {
      entry.running = await startChild(entry.child.spec, abort.signal)
    } catch (error) {
      if (entry.state !== 'restarting') change(entry, abort.signal.aborted ? 'stopped' : 'failed')
      throw error
    }
    change(entry, 'running')
    void follow(entry, entry.running)
  }

  /** Waits for the end of one run of the process and decides what comes next. */
  async function follow(entry: Entry, child: ManagedChild): Promise<void> {
    const startedAt = Date.now()
    const exit = await child.exited
    entry.running = undefined
    if (stopping || entry.ending) return
    const { spec, restarts } = entry.child
    hooks.onDeath?.({ name: spec.name, exit, lastLines: lastLines(spec.logFile, SHOWN_LINES), willRestart: restarts })
    if (restarts) await revive(entry, Date.now() - startedAt)
    else fail(entry, exit)
  }

  async function revive(entry: Entry, upMs: number): Promise<void> {
    if (upMs >= SETTLED_MS) entry.quickDeaths = 0
    while (!stopping) {
      change(entry, 'restarting')
      const backoff = Math.min(FIRST_BACKOFF_MS * 2 ** entry.quickDeaths, LONGEST_BACKOFF_MS)
      await delay(backoff, undefined, { signal: abort.signal }).catch(() => undefined)
      if (stopping) return
      entry.quickDeaths += 1
      entry.restarts += 1
      try {
        return await launch(entry)
      } catch (error) {
        if (!isMeshError(error)) throw error // a defect here, not a death of the process
      }
    }
  }

  function fail(entry: Entry, exit: ChildExit): void {
    const { spec } = entry.child
    const lines = lastLines(spec.logFile, SHOWN_LINES)
    failure = new MeshError(
      'MESH_STACK_CHILD_FAILED',
      `${spec.name} ended (${describe(exit)})${lines ? `; its last lines:\n${lines}` : ''}`,
      { place: spec.logFile },
    )
    change(entry, 'failed')
    void stop()
  }

  function stop(): Promise<void> {
    stopping ??= stopAll()
    return stopping
  }

  async function stopAll(): Promise<void> {
    abort.abort()
    for (const stage of stages.toReversed()) {
      await Promise.all(
        stage.map(async (entry) => {
          await entry.launching?.catch(() => undefined) // its own caller hears of it
          await entry.running?.stop()
          if (entry.state !== 'failed') change(entry, 'stopped')
        }),
      )
    }
    resolveDone(failure)
  }

  async function restart(name: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const entry = find(name)
    await end(entry, async (child) => {
      child.kill(signal)
      await child.exited
    })
    await launch(entry)
  }

  async function halt(name: string): Promise<void> {
    const entry = find(name)
    await end(entry, (child) => child.stop())
    change(entry, 'stopped')
  }

  async function resume(name: string): Promise<void> {
    const entry = find(name)
    if (stopping) throw new MeshError('MESH_STACK_STOPPED', 'the stack is stopping')
    if (entry.running) return
    await (entry.launching ?? launch(entry))
  }

  async function end(entry: Entry, ended: (child: ManagedChild) => Promise<unknown>): Promise<void> {
    if (!entry.running) throw new MeshError('MESH_STACK_NOT_RUNNING', `${entry.child.spec.name} is not running`)
    entry.ending = true
    try {
      await ended(entry.running)
    } finally {
      entry.ending = false
    }
  }

  function kill(name: string, signal: NodeJS.Signals): boolean {
    return find(name).running?.kill(signal) ?? false
  }

  function find(name: string): Entry {
    const entry = stages.flat().find((candidate) => candidate.child.spec.name === name)
    if (!entry) throw new MeshError('MESH_STACK_NOT_RUNNING', `the stack has no process ${name}`)
    return entry
  }

  function change(entry: Entry, state: ProcessState): void {
    entry.state = state
    hooks.onChange?.(statusOf(entry))
  }

  return { start, add, stop, kill, restart, halt, resume, done, processes: () => stages.flat().map(statusOf) }
}

function entryOf(child: SupervisedChild): Entry {
  return {
    child,
    running: undefined,
    state: 'starting',
    restarts: 0,
    quickDeaths: 0,
    launching: undefined,
    ending: false,
  }
}

function statusOf({ child, running, state, restarts }: Entry): ProcessStatus {
  const { spec, port } = child
  return { name: spec.name, pid: running?.pid ?? null, port, state, restarts, logFile: spec.logFile }
}
